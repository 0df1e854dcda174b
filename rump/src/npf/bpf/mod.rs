//! Rules as programs of bpf(4), which the kernel runs on each packet.
//!
//! A program says whether a packet matches: it returns 0 if not. It is a row of
//! [clauses](Program::clause), all of which must hold. A clause holds if one of its
//! alternatives does; an alternative is a row of steps, and holds if each comparison in it
//! does. So every jump leads forward within its clause:
//!
//! ```text
//!   alternative 1:  load, compare (else to 2), load, compare (to the end, else to 2)
//!   alternative 2:  load, compare (to the end, else fall through)
//!                   return 0
//!   end of the clause
//! ```
//!
//! The packet begins with its IP header. What npf has found out about it stands in the
//! machine's memory: the version of IP, where its payload begins, and the protocol of that.
//! A coprocessor looks addresses up in tables. A load beyond the end of a packet ends the
//! program as if it had returned 0.

mod compile;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod tests;

pub(super) use compile::compile;
use rump_sys::abi::npf as abi;

/// What a program returns for a packet that matches.
const MATCH: u32 = u32::MAX;

/// A program, complete but for its last instruction.
#[derive(Debug, Default)]
struct Program(Vec<abi::bpf_insn>);

/// One instruction of an alternative.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Loads, or computes with what was loaded.
    Do(u16, u32),
    /// Goes on if a comparison of what was loaded with a number (`BPF_JEQ` and so on) has
    /// this result.
    If(u16, u32, bool),
}

type Alternative = Vec<Step>;

/// What is longer than a program, or than a jump reaches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

fn instruction(code: u16, k: u32) -> abi::bpf_insn {
    abi::bpf_insn {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

impl Program {
    /// Adds a clause. Each alternative ends with a comparison.
    fn clause(&mut self, alternatives: &[Alternative]) -> Result<(), TooLong> {
        let length: usize = alternatives.iter().map(Vec::len).sum();
        // Behind the last alternative stands the return.
        let end = length + 1;
        let jump = |from: usize, to: usize| u8::try_from(to - from - 1).map_err(|_| TooLong);
        let mut at = 0;
        for alternative in alternatives {
            let next = at + alternative.len();
            debug_assert!(matches!(alternative.last(), Some(Step::If(..))));
            for step in alternative {
                let last = at + 1 == next;
                self.0.push(match *step {
                    Step::Do(code, k) => instruction(code, k),
                    Step::If(code, k, wanted) => {
                        let holds = jump(at, if last { end } else { at + 1 })?;
                        let fails = jump(at, next)?;
                        let (jt, jf) = if wanted {
                            (holds, fails)
                        } else {
                            (fails, holds)
                        };
                        abi::bpf_insn {
                            jt,
                            jf,
                            ..instruction(abi::BPF_JMP | code | abi::BPF_K, k)
                        }
                    }
                });
                at += 1;
            }
        }
        self.0.push(instruction(abi::BPF_RET | abi::BPF_K, 0));
        Ok(())
    }

    /// The whole program; none if every packet matches.
    fn finish(mut self) -> Result<Option<Vec<u8>>, TooLong> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.0.push(instruction(abi::BPF_RET | abi::BPF_K, MATCH));
        if self.0.len() > abi::BPF_MAXINSNS {
            return Err(TooLong);
        }
        let bytes = |it: &abi::bpf_insn| {
            let [a, b] = it.code.to_ne_bytes();
            let [c, d, e, f] = it.k.to_ne_bytes();
            [a, b, it.jt, it.jf, c, d, e, f]
        };
        Ok(Some(self.0.iter().flat_map(bytes).collect()))
    }
}
