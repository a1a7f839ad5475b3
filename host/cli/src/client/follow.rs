//! A job's events as they come. The server ends a stream after a while, and connections break: the next one goes on behind
//! the last event that was seen.

use super::sse::{Event, Parser};
use super::{Broken, Client, malformed};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_http as http;
use std::collections::VecDeque;
use std::time::Duration;

/// How often in a row a stream may end before anything came.
const MAX_FAILURES: u32 = 6;
/// The wait before the first new connection; doubled with each further one in a row.
const PAUSE: Duration = Duration::from_millis(250);

/// Follows a stream of events.
pub struct Follower<'a> {
    client: &'a Client,
    path: String,
    last: u64,
    ready: VecDeque<Event>,
    open: Option<Stream>,
    seen: bool,
    failures: u32,
}

struct Stream {
    answer: http::Answer,
    parser: Parser,
}

impl Client {
    /// Follows the events at `path` behind the one numbered `last`.
    pub fn follow(&self, path: &str, last: u64) -> Follower<'_> {
        Follower {
            client: self,
            path: path.to_owned(),
            last,
            ready: VecDeque::new(),
            open: None,
            seen: false,
            failures: 0,
        }
    }
}

impl Follower<'_> {
    /// Whether an event is here already.
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next event, however long that takes.
    ///
    /// # Errors
    /// What the JobManager refuses, under its own code; `LG1074` if no stream comes about any more.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last = event.id.unwrap_or(self.last);
                return Ok(event);
            }
            let Some(stream) = &mut self.open else {
                self.connect().await?;
                continue;
            };
            match stream.answer.chunk().await {
                Ok(Some(data)) => {
                    stream.parser.feed(&data, &mut self.ready)?;
                    self.failures = 0;
                }
                Ok(None) | Err(_) => {
                    self.open = None;
                    self.failed(Error::new(code::UNREACHABLE, "the stream of events ended")).await?;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<()> {
        match self.client.open(&self.path, self.last).await {
            Ok(answer) => {
                let kind = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
                if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
                    return Err(malformed("the answer is no stream of events"));
                }
                self.seen = true;
                self.open = Some(Stream { answer, parser: Parser::default() });
                Ok(())
            }
            // Deleted while there was no connection to be told so.
            Err(Broken::Final(error)) if self.seen && error.code() == code::NOT_FOUND => {
                self.ready.push_back(Event { kind: "gone".into(), ..Event::default() });
                Ok(())
            }
            Err(Broken::Final(error)) => Err(error),
            Err(Broken::Unsent(error) | Broken::Lost(error)) => self.failed(error).await,
        }
    }

    /// Waits before the next connection, or gives up.
    async fn failed(&mut self, error: Error) -> Result<()> {
        self.failures = self.failures.saturating_add(1);
        if self.failures > MAX_FAILURES {
            return Err(error);
        }
        tokio::time::sleep(PAUSE.saturating_mul(1 << self.failures.min(5))).await;
        Ok(())
    }
}
