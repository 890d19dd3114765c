//! Tables to classic BPF.
//!
//! ```text
//! load architecture; for each table: not this one? jump over it
//!   load number; x86_64: take bit 30 away, or refuse it
//!   binary search over the ranges' first numbers; a leaf returns an action or tests arguments
//! refuse
//! ```
//!
//! Jumps reach 255 instructions; longer ones go by way of an unconditional jump. Pieces are built on their own and
//! joined, so every distance is the length of a piece.

use bryo_sys::seccomp::{Instruction, MAX_INSTRUCTIONS};
use oci_spec::runtime::LinuxSeccompOperator;

use super::bad;
use super::rules::{Condition, Decision, OTHER_ARCHITECTURE, Table, X86_64};
use crate::error::Result;

/// Operations (linux/bpf_common.h).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQ: u16 = 0x15;
const JUMP_GT: u16 = 0x25;
const JUMP_GE: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Places in the filter's input (struct seccomp_data).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The bit that marks x32 numbers on x86_64.
const X32: u32 = 0x4000_0000;

type Code = Vec<Instruction>;

/// The whole filter.
pub(super) fn program(tables: &[Table]) -> Result<Code> {
    let mut code = vec![plain(LOAD, ARCHITECTURE)];
    for table in tables {
        let body = body(table)?;
        // Not this architecture: over the body.
        code.push(branch(JUMP_EQ, table.audit, 1, 0));
        code.push(plain(JUMP, distance(&body)?));
        code.extend(body);
    }
    code.push(plain(RETURN, OTHER_ARCHITECTURE));
    if code.len() > MAX_INSTRUCTIONS {
        let length = code.len();
        return Err(bad(format!(
            "the profile becomes {length} instructions and the kernel takes {MAX_INSTRUCTIONS}"
        )));
    }
    Ok(code)
}

fn body(table: &Table) -> Result<Code> {
    let mut code = vec![plain(LOAD, NUMBER)];
    if table.x32 {
        code.push(plain(AND, !X32));
    } else if table.audit == X86_64 {
        // The x32 ABI shares the architecture's value.
        code.push(branch(JUMP_GE, X32, 0, 1));
        code.push(plain(RETURN, OTHER_ARCHITECTURE));
    }
    code.extend(search(&table.ranges)?);
    Ok(code)
}

fn search(ranges: &[(u32, Decision)]) -> Result<Code> {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let Some((first, _)) = above.first() else {
        return Err(bad("the profile has an empty table"));
    };
    if below.is_empty() {
        return match above.first() {
            Some((_, decision)) => leaf(decision),
            None => Ok(Code::new()),
        };
    }
    let (below, above) = (search(below)?, search(above)?);
    let mut code = Code::new();
    match u8::try_from(below.len()) {
        Ok(near) => code.push(branch(JUMP_GE, *first, near, 0)),
        Err(_) => {
            code.push(branch(JUMP_GE, *first, 0, 1));
            code.push(plain(JUMP, distance(&below)?));
        }
    }
    code.extend(below);
    code.extend(above);
    Ok(code)
}

fn leaf(decision: &Decision) -> Result<Code> {
    let mut code = Code::new();
    let mut rest = decision.conditional.as_slice();
    while let Some(((conditions, action), after)) = rest.split_first() {
        let values = equal_values(rest);
        if values.len() > 1 {
            let index = conditions.first().map_or(0, |c| c.index);
            code.extend(one_of(index, &values, *action)?);
            rest = rest.get(values.len()..).unwrap_or_default();
            continue;
        }
        code.extend(all_of(conditions, *action)?);
        rest = after;
    }
    code.push(plain(RETURN, decision.otherwise));
    Ok(code)
}

/// The values of the rules at the beginning of the list that only ask whether one and the same argument equals a
/// small number, with one and the same action.
fn equal_values(rules: &[(Vec<Condition>, u32)]) -> Vec<u32> {
    let mut values = Vec::new();
    let Some(([first], action)) = rules.first().map(|(c, a)| (c.as_slice(), a)) else {
        return values;
    };
    for (conditions, other) in rules {
        match conditions.as_slice() {
            [c] if c.operator == LinuxSeccompOperator::ScmpCmpEq
                && c.index == first.index
                && other == action
                // Each is a jump to the end, so there are not more than a jump reaches.
                && values.len() < 200 =>
            {
                match u32::try_from(c.value) {
                    Ok(value) => values.push(value),
                    Err(_) => break,
                }
            }
            _ => break,
        }
    }
    values
}

/// `argument == v1 || argument == v2 …`: the upper half is tested once.
fn one_of(index: u32, values: &[u32], action: u32) -> Result<Code> {
    let count = u8::try_from(values.len()).map_err(|_| bad("too many values for one argument"))?;
    // load upper, test, load lower, the tests, jump over the return, return
    let mut code = vec![
        plain(LOAD, upper(index)),
        branch(JUMP_EQ, 0, 0, count + 2),
        plain(LOAD, lower(index)),
    ];
    for (position, value) in (0..count).zip(values) {
        let last = position + 1 == count;
        code.push(branch(JUMP_EQ, *value, count - position - 1, u8::from(last)));
    }
    code.push(plain(RETURN, action));
    Ok(code)
}

/// Conditions that must all hold; falls through if one does not.
fn all_of(conditions: &[Condition], action: u32) -> Result<Code> {
    let mut code = vec![plain(RETURN, action)];
    for condition in conditions.iter().rev() {
        let fail = u8::try_from(code.len()).map_err(|_| bad("too many conditions in one rule"))?;
        let mut test = test(condition, fail);
        test.extend(code);
        code = test;
    }
    Ok(code)
}

/// One condition: goes on behind itself if it holds, else `fail` instructions further.
fn test(condition: &Condition, fail: u8) -> Code {
    use LinuxSeccompOperator as Op;
    let Condition { index, operator, value, datum } = *condition;
    let (high, low) = halves(value);
    let load_high = plain(LOAD, upper(index));
    let load_low = plain(LOAD, lower(index));
    // Distances count from the instruction behind the jump; `pass` is the end of this piece.
    match operator {
        Op::ScmpCmpEq => vec![
            load_high,
            branch(JUMP_EQ, high, 0, fail + 2),
            load_low,
            branch(JUMP_EQ, low, 0, fail),
        ],
        Op::ScmpCmpNe => {
            vec![load_high, branch(JUMP_EQ, high, 0, 2), load_low, branch(JUMP_EQ, low, fail, 0)]
        }
        Op::ScmpCmpMaskedEq => {
            let (wanted_high, wanted_low) = halves(datum);
            vec![
                load_high,
                plain(AND, high),
                branch(JUMP_EQ, wanted_high, 0, fail + 3),
                load_low,
                plain(AND, low),
                branch(JUMP_EQ, wanted_low, 0, fail),
            ]
        }
        Op::ScmpCmpGt | Op::ScmpCmpGe => {
            let jump = if operator == Op::ScmpCmpGt { JUMP_GT } else { JUMP_GE };
            vec![
                load_high,
                branch(JUMP_GT, high, 3, 0),
                branch(JUMP_EQ, high, 0, fail + 2),
                load_low,
                branch(jump, low, 0, fail),
            ]
        }
        Op::ScmpCmpLt | Op::ScmpCmpLe => {
            // Not greater-or-equal, not greater.
            let jump = if operator == Op::ScmpCmpLt { JUMP_GE } else { JUMP_GT };
            vec![
                load_high,
                branch(JUMP_GT, high, fail + 3, 0),
                branch(JUMP_EQ, high, 0, 2),
                load_low,
                branch(jump, low, fail, 0),
            ]
        }
    }
}

fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// Little-endian, as all supported architectures are.
fn lower(index: u32) -> u32 {
    ARGUMENTS + 8 * index
}

fn upper(index: u32) -> u32 {
    lower(index) + 4
}

fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn distance(code: &Code) -> Result<u32> {
    u32::try_from(code.len()).map_err(|_| bad("the profile is too long"))
}

#[cfg(test)]
#[path = "bpf_tests.rs"]
mod tests;
