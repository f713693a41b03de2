//! `GET /v1/backup`: all that is recorded, as one stream; whoever reads slowly makes the archive wait and nothing else.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpResponse, web};
use tokio::sync::mpsc;

use crate::service::Service;

/// Bytes handed over at once, and how many such pieces wait at most.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 16;

/// Everything that is recorded, as one archive
///
/// For `mabel restore`. It ends with a digest, so that one that broke off is refused. The receipt secret is not in it.
#[utoipa::path(
    get, path = "/v1/backup", tag = "operations", operation_id = "getBackup",
    responses((status = 200, description = "The archive", body = Vec<u8>, content_type = "application/octet-stream")),
)]
pub(crate) async fn backup(service: Data<Service>) -> HttpResponse {
    let (pieces, body) = mpsc::channel(PIECES);
    let service = service.into_inner();
    // The archive ends with its digest: a stream that breaks off is no archive, and needs no other sign.
    drop(web::block(move || {
        let mut out = Pieces { pieces, piece: Vec::with_capacity(PIECE_BYTES) };
        if let Err(error) = service.backup(&mut out) {
            tracing::warn!(%error, "a backup broke off");
            // Without this the connection would end as if all had been said.
            drop(out.pieces.blocking_send(Err(std::io::Error::other("the archive broke off"))));
        }
    }));
    HttpResponse::Ok().content_type("application/octet-stream").body(Archive(body))
}

/// The archive's way into the body.
struct Pieces {
    pieces: mpsc::Sender<std::io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.pieces.blocking_send(Ok(piece.into())).map_err(|_| std::io::Error::other("nobody reads it any more"))
    }
}

struct Archive(mpsc::Receiver<std::io::Result<Bytes>>);

impl MessageBody for Archive {
    type Error = std::io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.0.poll_recv(context)
    }
}
