//! A TaskManager's end of a task slot, driven by an executor that says anything: what is taken is within its bounds, is open
//! until it is answered and once only, and nothing is taken after a breach of the protocol has been found.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use lockgate_executor::protocol::{Ask, FRAME_BYTES, REGION_BYTES, SLOT_REGIONS, Verb};
use lockgate_executor::testing::slot;

#[derive(Arbitrary, Debug)]
enum Step {
    /// Any bytes as a frame.
    Raw(Vec<u8>),
    /// A well-formed ask: how far its ticket is from the next, its region and length, its verb.
    Ask(u8, u8, u32, u8, u64),
    /// The oldest open ask is answered with so many bytes.
    Answer(u16),
}

fn verb(kind: u8, number: u64) -> Verb {
    let short = number as u32;
    match kind % 8 {
        0 => Verb::Hello { version: short },
        1 => Verb::Read { input: short, offset: number },
        2 => Verb::Split,
        3 => Verb::Write { sink: short, epoch: number },
        4 => Verb::Commit { epoch: number },
        5 => Verb::Log,
        6 => Verb::Usage,
        _ => Verb::End,
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let (mut executor, mut handle) = slot();
    let (mut tickets, mut open): (u64, Vec<Ask>) = (0, Vec::new());
    for step in steps.iter().take(64) {
        let frame = match step {
            Step::Raw(bytes) => {
                let mut frame = [0; FRAME_BYTES];
                frame.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                frame
            }
            Step::Ask(ahead, region, length, kind, number) => {
                let ticket = tickets.wrapping_add(1).wrapping_add(u64::from(ahead % 8 / 7));
                let length = length % (REGION_BYTES as u32 + 2);
                Ask { ticket, region: u32::from(*region), length, verb: verb(*kind, *number) }.encode()
            }
            Step::Answer(bytes) => {
                if !open.is_empty() {
                    let ask = open.remove(0);
                    let bytes = vec![7; usize::from(*bytes)];
                    let _ = handle.answer(&ask, 1, &bytes);
                    assert!(handle.answer(&ask, 1, &[]).is_err() && handle.bytes(&ask).is_err());
                }
                continue;
            }
        };
        if !executor.send(frame) {
            return;
        }
        match handle.receive() {
            Ok(Some(ask)) => {
                tickets += 1;
                assert_eq!(ask.ticket, tickets);
                assert!(ask.region < SLOT_REGIONS && ask.length as usize <= REGION_BYTES);
                assert!(open.iter().all(|other| other.region != ask.region));
                assert_eq!(handle.bytes(&ask).expect("it is open").len(), ask.length as usize);
                open.push(ask);
            }
            // Found out: whoever serves the slot ends it.
            Ok(None) | Err(_) => return,
        }
    }
});
