//! A proxy before an engine, which does to requests and answers what networks and engines do to them.

use std::{
    io::{Error, ErrorKind, Result},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::http::RUNTIME;

/// What is to happen to one request.
#[derive(Clone, Debug, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The engine gets the request and does what it says; then the connection ends, before the answer or amidst it.
    LoseAnswer,
    TearAnswer,
    /// The engine never gets it; this status is the answer.
    Refuse(u16),
    /// The engine gets it, and each item of which the number, plus the number of the request, is a multiple of three is
    /// answered with this status, whatever the engine said of it.
    RefuseItems(u16),
    Delay(Duration),
}

/// A request as a proxy sees it.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) line: String,
    pub(crate) body_bytes: usize,
    /// Counts the requests that this proxy saw, from 0.
    pub(crate) number: u64,
}

impl Forwarded {
    pub(crate) fn is_bulk(&self) -> bool {
        self.line.contains("/_bulk")
    }
}

type Plan = Arc<Mutex<Box<dyn FnMut(&Forwarded) -> Fault + Send>>>;

pub(crate) struct Proxy {
    pub(crate) url: String,
    plan: Plan,
}

impl Proxy {
    /// Passes everything on until it is told otherwise.
    pub(crate) fn before(engine_url: &str) -> Self {
        let engine = engine_url.strip_prefix("http://").unwrap().to_owned();
        let plan: Plan = Arc::new(Mutex::new(Box::new(|_| Fault::None)));
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::clone(&plan);
        RUNTIME.spawn(async move {
            let counter = Arc::new(Mutex::new(0));
            while let Ok((client, _)) = listener.accept().await {
                let connection = Connection { plan: Arc::clone(&served), counter: Arc::clone(&counter) };
                let engine = engine.clone();
                // However it ends, the client has to live with it.
                tokio::spawn(async move { connection.serve(client, &engine).await });
            }
        });
        Self { url, plan }
    }

    /// From now on each request meets the fault that `plan` has for it.
    pub(crate) fn plan(&self, plan: impl FnMut(&Forwarded) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// From now on everything is passed on.
    pub(crate) fn heal(&self) {
        self.plan(|_| Fault::None);
    }
}

struct Connection {
    plan: Plan,
    counter: Arc<Mutex<u64>>,
}

impl Connection {
    async fn serve(&self, client: TcpStream, engine: &str) -> Result<()> {
        let mut client = BufReader::new(client);
        let mut engine = BufReader::new(TcpStream::connect(engine).await?);
        loop {
            let request = Message::read(&mut client, Awaited::Request).await?;
            let forwarded = self.look_at(&request);
            let fault = self.plan.lock().unwrap()(&forwarded);
            if let Fault::Refuse(status) = fault {
                client.write_all(refusal(status).as_bytes()).await?;
                continue;
            }
            if let Fault::Delay(delay) = fault {
                sleep(delay).await;
            }
            engine.write_all(plain(&request.head).as_bytes()).await?;
            engine.write_all(&request.body).await?;
            let awaited = if forwarded.line.starts_with("HEAD ") { Awaited::Head } else { Awaited::Answer };
            let mut answer = Message::read(&mut engine, awaited).await?;
            match fault {
                Fault::LoseAnswer => return Ok(()),
                Fault::TearAnswer => {
                    client.write_all(&answer.head).await?;
                    return client.write_all(&answer.body[..answer.body.len() / 2]).await;
                }
                Fault::RefuseItems(status) => answer = refuse_items(&answer, forwarded.number, status),
                Fault::None | Fault::Delay(_) | Fault::Refuse(_) => {}
            }
            client.write_all(&answer.head).await?;
            client.write_all(&answer.body).await?;
        }
    }

    fn look_at(&self, request: &Message) -> Forwarded {
        let head = String::from_utf8_lossy(&request.head);
        let mut counter = self.counter.lock().unwrap();
        let number = *counter;
        *counter += 1;
        let line = head.lines().next().unwrap_or_default().to_owned();
        Forwarded { line, body_bytes: request.body.len(), number }
    }
}

/// The head of a request without the wish for a compressed answer, which could not be rewritten.
fn plain(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let lines = head.split_inclusive('\n').filter(|line| !line.to_lowercase().starts_with("accept-encoding:"));
    lines.collect()
}

fn refusal(status: u16) -> String {
    let body = format!(
        "{{\"error\":{{\"type\":\"es_rejected_execution_exception\",\"reason\":\"busy\"}},\"status\":{status}}}"
    );
    let length = body.len();
    format!("HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A bulk answer that says of every third item that it was refused, though the engine may have taken it.
fn refuse_items(answer: &Message, number: u64, status: u16) -> Message {
    let Ok(mut told) = serde_json::from_slice::<serde_json::Value>(&answer.content) else { return answer.clone() };
    for (index, item) in (number..).zip(told["items"].as_array_mut().into_iter().flatten()) {
        if index % 3 == 0 {
            let error = serde_json::json!({"type": "es_rejected_execution_exception", "reason": "busy"});
            *item = serde_json::json!({"create": {"status": status, "error": error}});
        }
    }
    told["errors"] = true.into();
    let body = told.to_string().into_bytes();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    Message { head: head.into_bytes(), content: body.clone(), body }
}

/// What is being read: only an answer may lack a body without saying so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Request,
    Answer,
    /// The answer to a request for the head alone.
    Head,
}

/// A request or an answer, as its bytes came.
#[derive(Clone)]
struct Message {
    head: Vec<u8>,
    /// With the framing of chunks, if it came in chunks.
    body: Vec<u8>,
    content: Vec<u8>,
}

impl Message {
    async fn read(from: &mut BufReader<TcpStream>, awaited: Awaited) -> Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if from.read_until(b'\n', &mut head).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let text = String::from_utf8_lossy(&head).to_lowercase();
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let (mut body, mut content) = (Vec::new(), Vec::new());
        if awaited == Awaited::Head {
            return Ok(Self { head, body, content });
        }
        if field("transfer-encoding") == Some("chunked") {
            while read_chunk(from, &mut body, &mut content).await? {}
        } else if let Some(length) = field("content-length") {
            body = vec![0; length.parse().map_err(Error::other)?];
            from.read_exact(&mut body).await?;
            content.clone_from(&body);
        }
        Ok(Self { head, body, content })
    }
}

/// `false` after the last one.
async fn read_chunk(from: &mut BufReader<TcpStream>, body: &mut Vec<u8>, content: &mut Vec<u8>) -> Result<bool> {
    let mut line = String::new();
    from.read_line(&mut line).await?;
    let length = usize::from_str_radix(line.trim(), 16).map_err(Error::other)?;
    let mut chunk = vec![0; length + 2];
    from.read_exact(&mut chunk).await?;
    body.extend_from_slice(line.as_bytes());
    body.extend_from_slice(&chunk);
    content.extend_from_slice(&chunk[..length]);
    Ok(length > 0)
}
