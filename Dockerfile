# The server in a small image: built by Rust's, run by Debian's, as a user who may write to /data and nothing else.
#
#   docker build -t mabel .
#   docker run --rm -v mabel:/data mabel keys create --role admin --name first
#   docker run -p 8080:8080 -v mabel:/data mabel
FROM rust:1.95-slim-trixie AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --release --bin mabel

FROM debian:trixie-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home mabel
COPY --from=build /source/target/release/mabel /usr/local/bin/mabel
USER 10001
WORKDIR /data
VOLUME /data
ENV MABEL_DATA=/data MABEL_LISTEN=0.0.0.0:8080 MABEL_LOG_FORMAT=json
EXPOSE 8080
# A stop commits what was answered before it ends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["mabel"]
CMD ["serve"]
