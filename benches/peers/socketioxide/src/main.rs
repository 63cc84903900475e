//! The benchmark's events on socketioxide 0.18 over hyper, on tokio's current-thread runtime: the fastest set-up that its
//! documentation offers for one core.
//!
//! Payloads are extracted as the types that the benchmark sends (`String`, `Bytes`), which costs less than a generic
//! JSON value. `HOST` (127.0.0.1) and `PORT` (3000) in the environment say where it listens.

use std::env;
use std::error::Error;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use tokio::net::TcpListener;

/// Runs before the client's first event: joins `auth.rooms` and tells the client its auth.
async fn on_connect(socket: SocketRef, TryData(auth): TryData<Value>) {
    let auth = auth.unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
    if let Some(rooms) = auth.get("rooms").and_then(Value::as_array) {
        let rooms = rooms.iter().filter_map(Value::as_str);
        socket.join(rooms.map(str::to_owned).collect::<Vec<_>>());
    }
    on_events(&socket);
    socket.emit("auth", &auth).ok();
}

fn on_events(socket: &SocketRef) {
    socket.on("echo", async |socket: SocketRef, Data::<String>(text)| {
        socket.emit("echo", &text).ok();
    });
    socket.on(
        "echo-bin",
        async |socket: SocketRef, Data::<Bytes>(bytes)| {
            socket.emit("echo-bin", &bytes).ok();
        },
    );
    socket.on("ack", async |Data::<String>(text), ack: AckSender| {
        ack.send(&text).ok();
    });
    socket.on("bcast", async |io: SocketIo, Data::<String>(text)| {
        io.emit("bcast", &text).await.ok();
    });
    socket.on(
        "room",
        async |io: SocketIo, Data::<(String, String)>((room, text))| {
            io.to(room).emit("room", &text).await.ok();
        },
    );
}

async fn serve(host: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let (service, io) = SocketIo::new_svc();
    io.ns("/", on_connect);
    let listener = TcpListener::bind((host, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that hangs up is no news.
            connection.with_upgrades().await.ok();
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(&host, port))
}
