//! A graph of ONNX under construction: nodes, small constants, and weights that are read when the file is written.

use std::collections::HashSet;

use super::wire::WireMessage;
use crate::network::{Module, Role};

/// Element types of ONNX that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    Float,
    Float16,
    Int64,
    Bool,
}

impl ElementType {
    /// The number of `TensorProto.DataType`.
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Float => 1,
            Self::Float16 => 10,
            Self::Int64 => 7,
            Self::Bool => 9,
        }
    }

    /// Bytes of one element.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Float => 4,
            Self::Float16 => 2,
            Self::Int64 => 8,
            Self::Bool => 1,
        }
    }
}

/// A tensor of the network that becomes an initializer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Initializer {
    /// Name in the graph.
    pub name: String,
    /// The role of the tensor in the network.
    pub role: Role,
    /// Shape in the graph.
    pub dims: Vec<usize>,
    /// Whether the two axes of the stored tensor are swapped.
    pub transposed: bool,
    /// The type of its numbers in the file.
    pub stored: ElementType,
}

impl Initializer {
    /// Bytes of its numbers.
    pub(super) fn bytes(&self) -> u64 {
        self.dims.iter().map(|d| *d as u64).product::<u64>() * self.stored.bytes()
    }
}

/// An axis of an input or output: a number, or a name for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    Fixed(usize),
    Named(&'static str),
}

/// An input or output of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub name: &'static str,
    pub element: ElementType,
    pub dims: Vec<Dim>,
}

/// An attribute of a node.
pub(super) enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
    Float(&'a str, f32),
}

/// A graph under construction. Every value has a name; operations give the name of their result.
#[derive(Debug)]
pub(super) struct Graph {
    /// The type in which large weights are stored; they are computed in f32.
    stored: ElementType,
    nodes: Vec<WireMessage>,
    constants: Vec<WireMessage>,
    weights: Vec<Initializer>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    names: HashSet<String>,
    scope: String,
}

impl Graph {
    pub(super) fn new(stored: ElementType) -> Self {
        Self {
            stored,
            nodes: Vec::new(),
            constants: Vec::new(),
            weights: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            names: HashSet::new(),
            scope: String::new(),
        }
    }

    /// Names of what follows begin with `scope`.
    pub(super) fn enter(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// An input of the graph.
    pub(super) fn input(&mut self, port: Port) -> String {
        let name = port.name.to_owned();
        self.names.insert(name.clone());
        self.inputs.push(port);
        name
    }

    /// Declares `value` as an output.
    pub(super) fn output(&mut self, port: Port, value: &str) {
        let mut node = WireMessage::default();
        node.bytes(1, value.as_bytes()).bytes(2, port.name.as_bytes()).bytes(3, port.name.as_bytes());
        node.bytes(4, b"Identity");
        self.nodes.push(node);
        self.outputs.push(port);
    }

    /// The tensor with `role`, of shape `dims` in the graph, as f32.
    pub(super) fn weight(&mut self, role: Role, dims: &[usize], transposed: bool) -> String {
        let name = if transposed { format!("{role}.transposed") } else { role.to_string() };
        let stored = if is_exact(role, dims) { ElementType::Float } else { self.stored };
        let wide = if stored == ElementType::Float16 { format!("{name}.f32") } else { name.clone() };
        if self.names.insert(name.clone()) {
            let weight = Initializer { name: name.clone(), role, dims: dims.to_vec(), transposed, stored };
            self.weights.push(weight);
            if stored == ElementType::Float16 {
                // Runtimes fold this once when they open the file: storage is halved, arithmetic is not.
                let mut node = WireMessage::default();
                node.bytes(1, name.as_bytes()).bytes(2, wide.as_bytes()).bytes(3, wide.as_bytes()).bytes(4, b"Cast");
                node.message(5, &attribute(&Attribute::Int("to", ElementType::Float.code())));
                self.nodes.push(node);
            }
        }
        wide
    }

    /// A constant of integers; no `dims` make a scalar.
    pub(super) fn ints(&mut self, dims: &[usize], values: &[i64]) -> String {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        self.constant(ElementType::Int64, dims, &data)
    }

    /// A constant of floats; no `dims` make a scalar.
    pub(super) fn floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        self.constant(ElementType::Float, dims, &data)
    }

    pub(super) fn scalar(&mut self, value: f64) -> String {
        self.floats(&[], &[value as f32])
    }

    fn constant(&mut self, element: ElementType, dims: &[usize], data: &[u8]) -> String {
        let name = self.fresh("constant");
        let mut tensor = tensor_header(&name, element, dims);
        tensor.bytes(9, data);
        self.constants.push(tensor);
        name
    }

    /// An operation with one result.
    pub(super) fn op(&mut self, kind: &str, inputs: &[&str]) -> String {
        self.op_with(kind, inputs, &[])
    }

    /// An operation with attributes. An empty name leaves an optional input out.
    pub(super) fn op_with(&mut self, kind: &str, inputs: &[&str], attributes: &[Attribute<'_>]) -> String {
        let name = self.fresh(kind);
        let mut node = WireMessage::default();
        for input in inputs {
            node.bytes(1, input.as_bytes());
        }
        node.bytes(2, name.as_bytes()).bytes(3, name.as_bytes()).bytes(4, kind.as_bytes());
        for a in attributes {
            node.message(5, &attribute(a));
        }
        self.nodes.push(node);
        name
    }

    fn fresh(&mut self, kind: &str) -> String {
        let stem = format!("{}/{kind}", self.scope);
        let mut name = stem.clone();
        let mut number = 0;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{stem}_{number}");
        }
        name
    }

    /// The weights so far.
    pub(super) fn weights(&self) -> &[Initializer] {
        &self.weights
    }

    /// What the writer needs: everything but the weights as one run of bytes of a `GraphProto`, and the weights.
    pub(super) fn finish(self, name: &str) -> (WireMessage, Vec<Initializer>) {
        let mut graph = WireMessage::default();
        for node in &self.nodes {
            graph.message(1, node);
        }
        graph.bytes(2, name.as_bytes());
        for constant in &self.constants {
            graph.message(5, constant);
        }
        for input in &self.inputs {
            graph.message(11, &value_info(input));
        }
        for output in &self.outputs {
            graph.message(12, &value_info(output));
        }
        (graph, self.weights)
    }
}

/// Whether the weight with `role` keeps its 32 bits: vectors, which are small, and routers, which may choose other experts
/// where their numbers are rounded.
pub(super) fn is_exact(role: Role, dims: &[usize]) -> bool {
    dims.iter().filter(|dim| **dim != 1).count() < 2 || matches!(role.module, Module::Router(..))
}

/// The beginning of a `TensorProto`: dimensions, type and name.
pub(super) fn tensor_header(name: &str, element: ElementType, dims: &[usize]) -> WireMessage {
    let mut tensor = WireMessage::default();
    for dim in dims {
        tensor.int(1, i64::try_from(*dim).unwrap_or(i64::MAX));
    }
    tensor.int(2, element.code()).bytes(8, name.as_bytes());
    tensor
}

fn attribute(attribute: &Attribute<'_>) -> WireMessage {
    // AttributeProto: name 1, f 2, i 3, ints 8, type 20 (FLOAT 1, INT 2, INTS 7).
    let mut message = WireMessage::default();
    match attribute {
        Attribute::Int(name, value) => message.bytes(1, name.as_bytes()).int(3, *value).int(20, 2),
        Attribute::Float(name, value) => message.bytes(1, name.as_bytes()).float(2, *value).int(20, 1),
        Attribute::Ints(name, values) => {
            message.bytes(1, name.as_bytes());
            for value in *values {
                message.int(8, *value);
            }
            message.int(20, 7)
        }
    };
    message
}

/// `ValueInfoProto` of a port.
fn value_info(port: &Port) -> WireMessage {
    let mut shape = WireMessage::default();
    for dim in &port.dims {
        let mut axis = WireMessage::default();
        match dim {
            Dim::Fixed(size) => axis.int(1, i64::try_from(*size).unwrap_or(i64::MAX)),
            Dim::Named(name) => axis.bytes(2, name.as_bytes()),
        };
        shape.message(1, &axis);
    }
    let mut tensor = WireMessage::default();
    tensor.int(1, port.element.code()).message(2, &shape);
    let mut kind = WireMessage::default();
    kind.message(1, &tensor);
    let mut info = WireMessage::default();
    info.bytes(1, port.name.as_bytes()).message(2, &kind);
    info
}
