//! A component that is dear to compile: blocks within blocks, as deep and as many as the checks before compiling allow.

/// Its bytes.
pub fn component() -> Vec<u8> {
    let blocks = 200;
    let body = format!("{}{}", "(block ".repeat(blocks), ")".repeat(blocks));
    let function = format!("(func (param i32) (local i32 i64) {body})");
    let text = format!("(component (core module {}))", function.repeat(400));
    wat::parse_str(text).unwrap_or_default()
}
