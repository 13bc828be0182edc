//! A proxy in front of an engine that simulates faults of networks and engines.

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

use serde_json::{Value, json};

use super::http::RUNTIME;

/// The fault to apply to one request.
#[derive(Clone, Debug, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The engine executes the request; then the connection ends before or within the answer.
    LoseAnswer,
    TearAnswer,
    /// The engine never gets the request; the answer has this status.
    Refuse(u16),
    /// The engine never gets the request; something in between answers 200 with unrelated content.
    UnrelatedAnswer,
    /// Of three items the engine gets two and one is confirmed: the first is withheld, the second is stored, and both
    /// are answered with this status.
    RefuseItems(u16),
    Delay(Duration),
}

/// A request as the proxy sees it.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) line: String,
    pub(crate) body_bytes: usize,
    /// The number of the request on this proxy, from 0.
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
    /// Forwards everything until told otherwise.
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
                // However it ends, the client has to cope.
                tokio::spawn(async move { connection.serve(client, &engine).await });
            }
        });
        Self { url, plan }
    }

    /// Applies the fault from `plan` to each request from now on.
    pub(crate) fn plan(&self, plan: impl FnMut(&Forwarded) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// Forwards everything from now on.
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
            match fault {
                Fault::Refuse(status) => {
                    client.write_all(&refusal(status).bytes()).await?;
                    continue;
                }
                Fault::UnrelatedAnswer => {
                    client.write_all(&Message::answer(200, "<html>under construction</html>").bytes()).await?;
                    continue;
                }
                Fault::RefuseItems(status) => {
                    let answer = refuse_items(&request, &mut engine, status).await?;
                    client.write_all(&answer.bytes()).await?;
                    continue;
                }
                Fault::None | Fault::LoseAnswer | Fault::TearAnswer | Fault::Delay(_) => {}
            }
            if let Fault::Delay(delay) = fault {
                sleep(delay).await;
            }
            engine.write_all(&request.bytes()).await?;
            let awaited = if forwarded.line.starts_with("HEAD ") { Awaited::Head } else { Awaited::Answer };
            let answer = Message::read(&mut engine, awaited).await?;
            match fault {
                Fault::LoseAnswer => return Ok(()),
                Fault::TearAnswer => {
                    client.write_all(&answer.head).await?;
                    return client.write_all(&answer.body[..answer.body.len() / 2]).await;
                }
                Fault::None | Fault::Delay(_) | Fault::Refuse(_) | Fault::UnrelatedAnswer | Fault::RefuseItems(_) => {}
            }
            client.write_all(&answer.bytes()).await?;
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

fn refusal(status: u16) -> Message {
    let error = json!({"type": "es_rejected_execution_exception", "reason": "busy"});
    Message::answer(status, &json!({"error": error, "status": status}).to_string())
}

/// Forwards a bulk request without some of its items, and puts their refusals into the answer.
async fn refuse_items(request: &Message, engine: &mut BufReader<TcpStream>, status: u16) -> Result<Message> {
    let lines: Vec<&[u8]> = request.content.split_inclusive(|byte| *byte == b'\n').collect();
    let items: Vec<_> = lines.chunks(2).collect();
    let left: Vec<u8> =
        items.iter().enumerate().filter(|(index, _)| index % 3 > 0).flat_map(|(_, item)| item.concat()).collect();
    let mut engine_items = vec![];
    if !left.is_empty() {
        engine.write_all(&request.with_content(left).bytes()).await?;
        let answer = Message::read(engine, Awaited::Answer).await?;
        let answer: Value = serde_json::from_slice(&answer.content).map_err(Error::other)?;
        engine_items.clone_from(answer["items"].as_array().ok_or(ErrorKind::InvalidData)?);
    }
    let mut engine_items = engine_items.into_iter();
    let error = json!({"type": "es_rejected_execution_exception", "reason": "busy"});
    let refused = json!({"create": {"status": status, "error": error}});
    let items: Vec<_> = (0..items.len())
        .map(|index| match index % 3 {
            0 => refused.clone(),
            1 => engine_items.next().map_or(Value::Null, |_| refused.clone()),
            _ => engine_items.next().unwrap_or_default(),
        })
        .collect();
    Ok(Message::answer(200, &json!({"errors": true, "items": items}).to_string()))
}

/// The kind of message being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Request,
    Answer,
    /// The answer to a HEAD request, which has no body.
    Head,
}

/// A request or an answer, as received.
#[derive(Clone)]
struct Message {
    head: Vec<u8>,
    /// With the framing of chunks, if it is chunked.
    body: Vec<u8>,
    content: Vec<u8>,
}

impl Message {
    fn answer(status: u16, content: &str) -> Self {
        let head = format!(
            "HTTP/1.1 {status} Told\r\nx-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\n\r\n"
        );
        Self { head: head.into_bytes(), body: Vec::new(), content: Vec::new() }.with_content(content.into())
    }

    /// Returns the message with other content.
    fn with_content(&self, content: Vec<u8>) -> Self {
        let head = String::from_utf8_lossy(&self.head);
        let framing = ["content-length:", "transfer-encoding:"];
        let is_framing = |line: &str| framing.iter().any(|field| line.to_lowercase().starts_with(field));
        let fields: String =
            head.trim_end().lines().filter(|line| !is_framing(line)).flat_map(|line| [line, "\r\n"]).collect();
        let head = format!("{fields}content-length: {}\r\n\r\n", content.len());
        Self { head: head.into_bytes(), body: content.clone(), content }
    }

    fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.body].concat()
    }

    async fn read(from: &mut BufReader<TcpStream>, awaited: Awaited) -> Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if from.read_until(b'\n', &mut head).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        // A compressed answer could not be rewritten, so no request may ask for one.
        let text = String::from_utf8_lossy(&head).into_owned();
        let lines = text.split_inclusive('\n').filter(|line| !line.to_lowercase().starts_with("accept-encoding:"));
        let head = lines.collect::<String>().into_bytes();
        let text = text.to_lowercase();
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

/// Returns `false` after the last chunk.
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
