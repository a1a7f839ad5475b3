//! The sinks of a slot: each encodes what it gets and hands the bytes on, region by region, with their epoch.

use crate::port::Port;
use crate::protocol::{REGION_BYTES, Verb};
use crate::shared::Control;
use arrow_array::RecordBatch;
use lockgate_core::error::code;
use lockgate_core::plan::{NodeKind, Plan, Sink};
use lockgate_core::{Error, Result};
use lockgate_dataflow::{Deliver, Encoder, encoder};
use std::io;

/// All sinks of a plan.
pub(crate) struct Sinks {
    /// By the plan's index; none where the node is not a sink or discards.
    open: Vec<Option<Open>>,
    epoch: u64,
}

struct Open {
    sink: Sink,
    /// None until the epoch's first batch.
    encoder: Option<Box<dyn Encoder>>,
    buffer: Vec<u8>,
}

impl Sinks {
    pub(crate) fn new(plan: &Plan, epoch: u64) -> Self {
        let open = plan.nodes.iter().map(|node| match &node.kind {
            NodeKind::Sink(sink) if sink.format.is_some() => {
                Some(Open { sink: sink.clone(), encoder: None, buffer: Vec::new() })
            }
            _ => None,
        });
        Self { open: open.collect(), epoch }
    }

    /// The sinks, through `port`, until `control` says that the job is cancelled.
    pub(crate) fn on<'a>(&'a mut self, port: &'a mut Port, control: &'a Control) -> PortSinks<'a> {
        PortSinks { sinks: self, port, control }
    }

    /// The open epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Completes every file of the epoch and sends what is left of it; then the next epoch is open.
    pub(crate) fn finish(&mut self, port: &mut Port) -> Result<()> {
        for (node, open) in self.open.iter_mut().enumerate() {
            let Some(open) = open else { continue };
            let Some(encoder) = open.encoder.take() else { continue };
            let mut out = Out { port, node, epoch: self.epoch, buffer: &mut open.buffer, failed: None };
            let done = encoder.finish(&mut out).and_then(|()| out.send());
            out.failed.map_or(done, Err)?;
        }
        self.epoch += 1;
        Ok(())
    }
}

/// The sinks of the slot while a batch runs.
pub(crate) struct PortSinks<'a> {
    sinks: &'a mut Sinks,
    port: &'a mut Port,
    control: &'a Control,
}

impl Deliver for PortSinks<'_> {
    fn batch(&mut self, node: usize, batch: &RecordBatch) -> Result<()> {
        // One batch of a source can become many on its way, and where no guest is called nothing else looks.
        if self.control.cancelled() {
            return Err(Error::new(code::JOB_CANCELLED, "the job was cancelled"));
        }
        let Some(Some(open)) = self.sinks.open.get_mut(node) else { return Ok(()) };
        let encoder = match &mut open.encoder {
            Some(encoder) => encoder,
            none => {
                let format =
                    open.sink.format.as_ref().ok_or_else(|| Error::new(code::INTERNAL, "a sink without a format"))?;
                none.insert(encoder(format, &open.sink.fields)?)
            }
        };
        let mut out = Out { port: self.port, node, epoch: self.sinks.epoch, buffer: &mut open.buffer, failed: None };
        let done = encoder.write(batch, &mut out);
        out.failed.map_or(done, Err)
    }
}

/// A sink's bytes on their way out.
struct Out<'a> {
    port: &'a mut Port,
    node: usize,
    epoch: u64,
    buffer: &'a mut Vec<u8>,
    /// Why the port refused, since `io::Error` cannot say it with its code.
    failed: Option<Error>,
}

impl Out<'_> {
    fn send(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let sink = u32::try_from(self.node).unwrap_or(u32::MAX);
        let sent = self.port.post(Verb::Write { sink, epoch: self.epoch }, self.buffer);
        self.buffer.clear();
        sent
    }
}

impl io::Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = REGION_BYTES - self.buffer.len();
        let part = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        self.buffer.extend_from_slice(part);
        if self.buffer.len() == REGION_BYTES {
            self.send().map_err(|error| {
                let told = io::Error::other(error.to_string());
                self.failed.get_or_insert(error);
                told
            })?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SlotHandle;
    use crate::link::link;
    use crate::protocol::VERSION;
    use arrow_array::{ArrayRef, BooleanArray};
    use lockgate_core::limits::Limits;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn a_cancelled_job_delivers_nothing_more() {
        let (slot, end) = link();
        let other = thread::spawn(move || {
            let mut handle = SlotHandle::new(end, None);
            while let Some(ask) = handle.receive().unwrap() {
                handle.answer(&ask, u64::from(VERSION), &[]).unwrap();
            }
        });
        let (controls, mut port) = (slot.controls(), Port::new(slot));
        port.hello().unwrap();
        let control = Control::new(controls.clone());
        let plan =
            Plan { nodes: vec![], limits: Limits::default(), batch_rows: 1, checkpoint_interval: 1_000, samples: 0 };
        let mut sinks = Sinks::new(&plan, 1);
        let column: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        assert!(sinks.on(&mut port, &control).batch(0, &batch).is_ok());
        controls.cancel();
        let refused = sinks.on(&mut port, &control).batch(0, &batch).unwrap_err();
        assert_eq!(refused.code(), code::JOB_CANCELLED);
        drop(port);
        other.join().unwrap();
    }
}
