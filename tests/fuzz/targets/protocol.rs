//! Frames and payloads between TaskManager and executor: a frame that is understood says what its bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_executor::protocol::{
    Answer, Ask, Commit, End, FRAME_BYTES, LogLine, REGION_BYTES, SplitGrant, Usage, payload,
};

fuzz_target!(|bytes: &[u8]| {
    let mut frame = [0; FRAME_BYTES];
    frame.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    if let Ok(ask) = Ask::decode(&frame) {
        assert!(ask.length as usize <= REGION_BYTES);
        assert_eq!(ask.encode(), frame);
    }
    if let Ok(answer) = Answer::decode(&frame) {
        assert!(answer.length as usize <= REGION_BYTES);
        assert_eq!(answer.encode(), frame);
        let _ = answer.error(bytes);
    }
    let _ = payload::read::<SplitGrant>(bytes);
    let _ = payload::read::<Commit>(bytes);
    let _ = payload::read::<Vec<LogLine>>(bytes);
    let _ = payload::read::<Usage>(bytes);
    if let Ok(end) = payload::read::<End>(bytes) {
        let _ = end.failed.map(|failed| failed.error());
    }
});
