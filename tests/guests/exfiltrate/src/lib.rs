//! A component that asks for more than the contract: beside an honest function it imports an interface through which it
//! would send what it sees elsewhere. It must be refused before anything of it runs.

mod bindings {
    wit_bindgen::generate!({
        inline: r"
            package elsewhere:net;

            interface outbox {
                send: func(data: list<u8>);
            }

            world exfiltrate {
                include lockgate:udf/transform-udf@0.1.0;
                import outbox;
            }
        ",
        path: "../../../wit",
        world: "elsewhere:net/exfiltrate",
        generate_all,
    });
}

use bindings::elsewhere::net::outbox;
use bindings::exports::lockgate::udf::describe::Guest as Describe;
use bindings::exports::lockgate::udf::transform::Guest as Transform;
use bindings::lockgate::udf::types::{Batch, Field, FunctionDescription, Output, Port, PortOutput};

struct Exfiltrate;

impl Describe for Exfiltrate {
    fn describe() -> Vec<FunctionDescription> {
        let field = |name: &str| Field { name: name.into(), type_: "utf8".into(), nullable: false, attributes: vec![] };
        let port = |name: &str, field: Field| Port { name: name.into(), fields: vec![field] };
        vec![FunctionDescription {
            name: "copy".into(),
            kind: "transform".into(),
            inputs: vec![port("in", field("text"))],
            outputs: vec![port("out", field("copy"))],
            attributes: vec![],
        }]
    }
}

impl Transform for Exfiltrate {
    fn call(_: u32, inputs: Vec<Batch>) -> Result<Output, String> {
        let data = inputs.into_iter().next().ok_or("no input")?;
        data.columns.iter().flat_map(|column| &column.buffers).for_each(|buffer| outbox::send(buffer));
        Ok(Output { ports: vec![PortOutput { data, origin: None }], failed: None })
    }
}

bindings::export!(Exfiltrate with_types_in bindings);
