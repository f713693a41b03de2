//! What actix-web costs by itself, for `scripts/load` to measure decisions against: `/echo` parses the same body into owned
//! strings and a map and serialises an answer of 250 bytes; `/echo-reward` does so with a reward's body and answer, for
//! `scripts/group-commit`; `/fixed` answers fixed bytes.
//!
//! `cargo run --release --example bare -- 127.0.0.1:9000 1`: address, workers.

use std::collections::HashMap;

use actix_web::http::header::ContentType;
use actix_web::web::{Bytes, Json, post};
use actix_web::{App, HttpResponse, HttpServer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Question {
    experiment: String,
    visitor: String,
    context: HashMap<String, Value>,
}

#[derive(Serialize)]
struct Answer {
    experiment: String,
    variation: &'static str,
    payload: Payload,
    reason: &'static str,
    visitor: String,
    decision_id: String,
    control: bool,
    propensity: f64,
    definition: u32,
    attributes: usize,
}

#[derive(Serialize)]
struct Payload {
    headline: &'static str,
}

async fn echo(Json(question): Json<Question>) -> HttpResponse {
    HttpResponse::Ok().json(Answer {
        experiment: question.experiment,
        variation: "variation-3",
        payload: Payload { headline: "Welcome back, here is something for you" },
        reason: "policy",
        visitor: question.visitor,
        decision_id: "0123456789abcdef0123456789abcdef".to_owned(),
        control: false,
        propensity: 0.613_412_345_678,
        definition: 3,
        attributes: question.context.len(),
    })
}

#[derive(Deserialize)]
struct Reward {
    receipt: String,
    goal: String,
    value: f64,
}

#[derive(Serialize)]
struct Outcome {
    outcome: &'static str,
    reward_id: String,
    learned: bool,
}

/// A reward's body and answer.
async fn echo_reward(Json(reward): Json<Reward>) -> HttpResponse {
    let learned = reward.value > 0.0 && !reward.receipt.is_empty();
    HttpResponse::Ok().json(Outcome { outcome: "recorded", reward_id: reward.goal, learned })
}

/// Takes the body, as any handler of a POST does: a body left unread closes the connection.
async fn fixed(_body: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(r#"{"variation":"variation-3"}"#)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let workers = arguments.next().and_then(|workers| workers.parse().ok()).unwrap_or(1);
    let app = || {
        App::new()
            .route("/echo", post().to(echo))
            .route("/echo-reward", post().to(echo_reward))
            .route("/fixed", post().to(fixed))
    };
    HttpServer::new(app).workers(workers).bind(address)?.run().await
}
