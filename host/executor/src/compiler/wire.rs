//! What goes between a TaskManager and a compiler's process: one request, one answer, each a short JSON head behind its
//! length and then bytes whose number the head says.
//!
//! The answer comes from a process that has read a hostile component: it is bounded before it is read, and believed in
//! nothing that it says of itself.

use crate::jail::Policy;
use lockgate_core::error::{ALL, Code, code};
use lockgate_core::text::tame;
use lockgate_core::{Digest, Error, Result, strict_json};
use lockgate_sandbox::{CheckLimits, ComponentInfo, MAX_MESSAGE};
use serde::{Deserialize, Serialize};

/// The version of what is spoken here. Both ends are the same program, unless a program was replaced while it ran.
pub(super) const VERSION: u32 = 1;
/// The longest head of an answer, in bytes: the names of all imports and exports at their longest, twice.
pub(super) const MAX_HEAD: usize = strict_json::MAX_DOCUMENT;
/// The longest head of a request, in bytes.
pub(super) const MAX_REQUEST: usize = 1 << 10;
/// The largest artefact, in bytes.
pub(super) const MAX_ARTEFACT: u64 = 256 << 20;
/// Bytes of a head's length.
pub(super) const LENGTH: usize = size_of::<u32>();
/// The longest name in a [`ComponentInfo`], in bytes: what the check shortens names to, and the sign that says so.
const MAX_NAME: usize = (1 << 10) + 16;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Question {
    /// The digest of all that an artefact depends on beside its component. Comes without a component.
    Compatibility,
    /// What the component is made of.
    Check,
    /// The same, and its artefact.
    Compile { optimise: bool },
}

/// The head of a request; the component follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) version: u32,
    pub(super) question: Question,
    /// Whether it may go on with fewer walls.
    pub(super) policy: Policy,
    /// Seconds of processor time that may be used.
    pub(super) cpu: u64,
    /// Bytes of address space that may be used.
    pub(super) memory: u64,
    /// Bytes of the component.
    pub(super) size: u64,
}

/// The head of an answer; the artefact follows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) answer: Answer,
    /// Bytes of the artefact.
    pub(super) artefact: u64,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    Compatibility(Digest),
    Component(Info),
    Refused { code: String, cause: String, help: Option<String> },
}

/// A [`ComponentInfo`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Info {
    imports: Vec<String>,
    exports: Vec<String>,
    size: u64,
    modules: u64,
    functions: u64,
    code: u64,
    largest_body: u64,
    work: u64,
}

/// `head` behind its length.
///
/// # Errors
/// `LG0001` if it is too long, which none that is made here is.
pub(super) fn framed<T: Serialize>(head: &T, max: usize) -> Result<Vec<u8>> {
    let internal = |cause: String| Error::new(code::INTERNAL, format!("a message of the compiler: {cause}"));
    let json = serde_json::to_vec(head).map_err(|error| internal(error.to_string()))?;
    let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= max);
    let length = length.ok_or_else(|| internal(format!("{} bytes", json.len())))?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

/// The length of the head that follows; none if it is over `max`.
pub(super) fn head_length(bytes: [u8; LENGTH], max: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes)).ok().filter(|length| *length <= max)
}

impl Head {
    /// Reads the head of an answer.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub(super) fn parse(json: &[u8], most_artefact: u64) -> Result<Self, String> {
        let head: Self = strict_json::parse("the answer", json, MAX_HEAD).map_err(|error| error.cause().to_owned())?;
        if head.version != VERSION {
            return Err(format!("it is of version {}", head.version));
        }
        let most = if matches!(head.answer, Answer::Component(_)) { most_artefact } else { 0 };
        if head.artefact > most {
            return Err(format!("its artefact is to have {} bytes, at most {most} are allowed", head.artefact));
        }
        Ok(head)
    }
}

impl From<ComponentInfo> for Info {
    fn from(info: ComponentInfo) -> Self {
        let ComponentInfo { imports, exports, size, modules, functions, code, largest_body, work } = info;
        Self { imports, exports, size, modules, functions, code, largest_body, work }
    }
}

impl Info {
    /// What is said of a component, if it can be true of one of `size` bytes.
    pub(super) fn accept(self, size: u64) -> Option<ComponentInfo> {
        let Self { imports, exports, size: claimed, modules, functions, code, largest_body, work } = self;
        let names = imports.iter().chain(&exports);
        let most = usize::try_from(CheckLimits::default().externs).unwrap_or(usize::MAX);
        let sound = claimed == size
            && code <= size
            && names.clone().count() <= most
            && names.clone().all(|name| name.len() <= MAX_NAME && tame(name, MAX_NAME) == *name)
            && imports.is_sorted()
            && exports.is_sorted();
        sound.then_some(ComponentInfo { imports, exports, size, modules, functions, code, largest_body, work })
    }
}

/// An error as an answer.
pub(super) fn refusal(error: &Error) -> Answer {
    let text = |text: &str| tame(text, 2 * MAX_MESSAGE);
    Answer::Refused { code: error.code().to_string(), cause: text(error.cause()), help: error.help_text().map(text) }
}

/// The error that a refusal stands for; none if it is none that checking or compiling a component can give.
pub(super) fn refused(code: &str, cause: &str, help: Option<&str>) -> Option<Error> {
    let known = |number: &Code| (500..=518).contains(&number.number()) && number.to_string() == code;
    let (code, _) = ALL.iter().find(|(number, _)| known(number))?;
    let error = Error::new(*code, tame(cause, 2 * MAX_MESSAGE));
    Some(match help {
        Some(help) => error.help(tame(help, 2 * MAX_MESSAGE)),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> Info {
        let [imports, exports] = [vec!["a".into(), "b".into()], vec!["c".into()]];
        Info { imports, exports, size: 9, modules: 1, functions: 1, code: 9, largest_body: 1, work: 1 }
    }

    #[test]
    fn what_cannot_be_true_of_a_component_is_not_believed() {
        assert!(info().accept(9).is_some());
        assert!(info().accept(8).is_none() && Info { code: 10, ..info() }.accept(9).is_none());
        for exports in [vec!["x".repeat(MAX_NAME + 1)], vec!["\u{1b}".into()], vec!["b".into(), "a".into()]] {
            assert!(Info { exports, ..info() }.accept(9).is_none());
        }
        assert!(Info { imports: vec!["a".into(); 2_001], ..info() }.accept(9).is_none());
    }

    #[test]
    fn a_refusal_has_a_code_of_its_kind_and_text_that_steers_nothing() {
        let error = refused("LG0501", "\u{1b}[31m", Some("\u{202e}")).unwrap();
        assert_eq!((error.cause(), error.help_text()), ("\\u{1b}[31m", Some("\\u{202e}")));
        assert!(refused("LG0502", &"x".repeat(1 << 20), None).unwrap().cause().len() < 4 << 10);
        for code in ["LG0401", "LG0001", "LG0599", "501", "", "LG0501 "] {
            assert_eq!(refused(code, "", None), None, "{code}");
        }
    }

    #[test]
    fn a_head_over_its_bound_is_not_read() {
        assert_eq!(head_length(5_u32.to_le_bytes(), 5), Some(5));
        assert_eq!(head_length(6_u32.to_le_bytes(), 5), None);
        assert!(framed(&"x".repeat(100), 50).is_err());
    }
}
