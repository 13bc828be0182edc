//! A connection between a client and the program that can be redirected and cut.

use std::{
    io::Result,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

use super::http::RUNTIME;

/// What happens to the program's output on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    None,
    /// The connection ends after this many bytes.
    CutAfter(usize),
    /// Nothing more arrives after this many bytes.
    HoldAfter(usize),
}

pub(crate) struct Wire {
    pub(crate) url: String,
    end: Arc<Mutex<(String, Damage)>>,
}

impl Wire {
    pub(crate) fn to(url: &str) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let here = format!("http://{}", listener.local_addr().unwrap());
        let end = Arc::new(Mutex::new((address(url), Damage::None)));
        let current = Arc::clone(&end);
        RUNTIME.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (to, damage) = current.lock().unwrap().clone();
                // However it ends, the client has to cope.
                tokio::spawn(async move { join(client, &to, damage).await });
            }
        });
        Self { url: here, end }
    }

    /// Redirects future connections.
    pub(crate) fn turn_to(&self, url: &str) {
        self.end.lock().unwrap().0 = address(url);
    }

    /// Damages future connections.
    pub(crate) fn damage(&self, damage: Damage) {
        self.end.lock().unwrap().1 = damage;
    }
}

fn address(url: &str) -> String {
    url.strip_prefix("http://").unwrap().to_owned()
}

async fn join(client: TcpStream, to: &str, damage: Damage) -> Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_program, mut to_program) = TcpStream::connect(to).await?.into_split();
    tokio::spawn(async move { copy(&mut from_client, &mut to_program).await });
    match damage {
        Damage::None => copy(&mut from_program, &mut to_client).await.map(drop),
        Damage::CutAfter(bytes) => copy(&mut from_program.take(bytes as u64), &mut to_client).await.map(drop),
        Damage::HoldAfter(bytes) => {
            copy(&mut from_program.take(bytes as u64), &mut to_client).await?;
            to_client.flush().await?;
            std::future::pending().await
        }
    }
}
