//! `rumpuser_dprintf`: the one hypercall that is variadic in C.
//!
//! Rust cannot define such a function. Its entry in assembly stores the argument registers as
//! a `va_list` of the System V ABI (3.5.7) has them, and the formatting is done here, for the
//! conversions that printf(9) has.

use alloc::vec::Vec;
#[cfg(feature = "image")]
use core::arch::global_asm;
use core::ffi::{CStr, c_char};

#[cfg(feature = "image")]
global_asm!(
    r#"
    .section .text.rumpuser_dprintf, "ax", @progbits
    .global rumpuser_dprintf
rumpuser_dprintf:
    sub rsp, 56
    mov [rsp], rdi
    mov [rsp + 8], rsi
    mov [rsp + 16], rdx
    mov [rsp + 24], rcx
    mov [rsp + 32], r8
    mov [rsp + 40], r9
    mov rdi, rsp
    lea rsi, [rsp + 64]
    call {print}
    add rsp, 56
    ret
    "#,
    print = sym print,
);

/// `registers` are the six integer registers, the format first; `stack` is what follows.
///
/// # Safety
/// The arguments are as the format says.
unsafe extern "C" fn print(registers: *const u64, stack: *const u64) {
    let mut arguments = Arguments {
        registers,
        used: 1,
        stack,
    };
    // SAFETY: the first is the format, a C string.
    let format = unsafe { CStr::from_ptr(*registers as *const c_char) };
    let mut text = Vec::new();
    // SAFETY: by contract.
    format_to(&mut text, format.to_bytes(), || unsafe { arguments.next() });
    super::console::text(&text);
}

/// What was given in integer registers and on the stack, as 64-bit words.
struct Arguments {
    registers: *const u64,
    used: usize,
    stack: *const u64,
}

impl Arguments {
    /// # Safety
    /// There is a next one.
    unsafe fn next(&mut self) -> u64 {
        // SAFETY: by contract; six registers were stored.
        unsafe {
            if self.used < 6 {
                self.used += 1;
                return *self.registers.add(self.used - 1);
            }
            let value = *self.stack;
            self.stack = self.stack.add(1);
            value
        }
    }
}

/// How a conversion is to look.
#[derive(Clone, Copy, Debug, Default)]
struct Style {
    left: bool,
    zeros: bool,
    plus: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    /// Bits of an integer.
    bits: u32,
}

/// The longest field that is made.
const WIDEST: usize = 1024;

/// Appends what the format says. A conversion that is not known is left as it stands, and
/// takes no argument.
fn format_to(out: &mut Vec<u8>, format: &[u8], mut next: impl FnMut() -> u64) {
    let mut rest = format;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        out.extend_from_slice(&rest[..at]);
        let conversion = &rest[at..];
        rest = &conversion[1..];
        let mut style = Style {
            bits: 32,
            ..Style::default()
        };
        while let [flag @ (b'-' | b'0' | b'+' | b' ' | b'#'), tail @ ..] = rest {
            rest = tail;
            match flag {
                b'-' => style.left = true,
                b'0' => style.zeros = true,
                b'+' => style.plus = true,
                b'#' => style.alternate = true,
                _ => {}
            }
        }
        let width = number(&mut rest, &mut next).unwrap_or(0);
        // A negative width in an argument means the left.
        style.left |= width < 0;
        style.width = (width.unsigned_abs() as usize).min(WIDEST);
        if let [b'.', tail @ ..] = rest {
            rest = tail;
            let precision = number(&mut rest, &mut next).unwrap_or(0);
            style.precision = usize::try_from(precision).ok();
        }
        while let [
            length @ (b'l' | b'q' | b'j' | b'z' | b't' | b'h'),
            tail @ ..,
        ] = rest
        {
            rest = tail;
            style.bits = match (length, style.bits) {
                (b'h', 16) => 8,
                (b'h', _) => 16,
                _ => 64,
            };
        }
        let [kind, tail @ ..] = rest else {
            out.extend_from_slice(conversion);
            return;
        };
        rest = tail;
        match kind {
            b'd' | b'i' => {
                let shift = 64 - style.bits;
                let value = ((next() << shift) as i64) >> shift;
                integer(out, style, value < 0, value.unsigned_abs(), 10, false);
            }
            b'u' | b'x' | b'X' | b'o' => {
                let value = next() << (64 - style.bits) >> (64 - style.bits);
                let base = match kind {
                    b'u' => 10,
                    b'o' => 8,
                    _ => 16,
                };
                integer(out, style, false, value, base, *kind == b'X');
            }
            b'p' => {
                style.alternate = true;
                integer(out, style, false, next(), 16, false);
            }
            b'c' => pad(out, style, &[next() as u8]),
            b's' => string(out, style, next()),
            b'%' => out.push(b'%'),
            _ => out.extend_from_slice(&conversion[..conversion.len() - rest.len()]),
        }
    }
    out.extend_from_slice(rest);
}

/// Digits, or a star for an argument.
fn number(rest: &mut &[u8], next: &mut impl FnMut() -> u64) -> Option<i32> {
    if let [b'*', tail @ ..] = *rest {
        *rest = tail;
        return Some(next() as i32);
    }
    let mut value = None;
    while let [digit @ b'0'..=b'9', tail @ ..] = *rest {
        *rest = tail;
        let digit = i32::from(digit - b'0');
        value = Some(
            value
                .unwrap_or(0_i32)
                .saturating_mul(10)
                .saturating_add(digit),
        );
    }
    value
}

fn integer(out: &mut Vec<u8>, style: Style, negative: bool, value: u64, base: u64, upper: bool) {
    let mut digits = Vec::new();
    let mut left = value;
    while left > 0 || digits.is_empty() && style.precision != Some(0) {
        let digit = (left % base) as u32;
        let digit = char::from_digit(digit, base as u32).unwrap_or('?');
        let digit = if upper {
            digit.to_ascii_uppercase()
        } else {
            digit
        };
        digits.push(digit as u8);
        left /= base;
    }
    let sign: &[u8] = match (negative, style.plus) {
        (true, _) => b"-",
        (false, true) => b"+",
        _ => b"",
    };
    let prefix: &[u8] = match (style.alternate, base) {
        (true, 16) if value != 0 => b"0x",
        (true, 8) => b"0",
        _ => b"",
    };
    let taken = sign.len() + prefix.len();
    let least = match style.precision {
        Some(precision) => precision.min(WIDEST),
        None if style.zeros && !style.left => style.width.saturating_sub(taken),
        None => 0,
    };
    while digits.len() < least {
        digits.push(b'0');
    }
    digits.reverse();
    let mut text = [sign, prefix].concat();
    text.extend(digits);
    pad(out, style, &text);
}

fn string(out: &mut Vec<u8>, style: Style, address: u64) {
    let most = style.precision.unwrap_or(usize::MAX);
    let start = address as *const u8;
    if start.is_null() {
        return pad(out, style, b"(null)");
    }
    let mut len = 0;
    // SAFETY: a string that ends with a NUL, or has as many bytes as the precision says.
    let text = unsafe {
        while len < most && *start.add(len) != 0 {
            len += 1;
        }
        core::slice::from_raw_parts(start, len)
    };
    pad(out, style, text);
}

fn pad(out: &mut Vec<u8>, style: Style, text: &[u8]) {
    let spaces = style.width.saturating_sub(text.len());
    if !style.left {
        out.resize(out.len() + spaces, b' ');
    }
    out.extend_from_slice(text);
    if style.left {
        out.resize(out.len() + spaces, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn formatted(format: &str, arguments: &[u64]) -> String {
        let mut arguments = arguments.iter();
        let mut out = Vec::new();
        format_to(&mut out, format.as_bytes(), || {
            *arguments.next().expect("an argument")
        });
        assert_eq!(arguments.next(), None, "{format}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_is_as_printf_has_it() {
        let text = c"text".as_ptr().addr() as u64;
        let minus = -5_i64 as u64;
        for (format, arguments, expected) in [
            ("plain", &[][..], "plain"),
            ("%d %i", &[minus, 7], "-5 7"),
            ("%u", &[minus], "4294967291"),
            ("%lu|%lld", &[minus, minus], "18446744073709551611|-5"),
            ("%5d|%-5d|%05d", &[42, 42, minus], "   42|42   |-0005"),
            (
                "%x %X %#x %08x",
                &[255, 255, 255, 255],
                "ff FF 0xff 000000ff",
            ),
            ("%p", &[0xdead], "0xdead"),
            (
                "%s|%6s|%-6s|%.2s",
                &[text, text, text, text],
                "text|  text|text  |te",
            ),
            ("%.*s", &[3, text], "tex"),
            ("%*d", &[minus, 1], "1    "),
            ("%s", &[0], "(null)"),
            ("%c%c", &[104, 105], "hi"),
            ("100%%", &[], "100%"),
            ("%hhu %hd", &[0x1ff, 0x1_ffff], "255 -1"),
            ("%zu %jd", &[1, minus], "1 -5"),
            ("%.3d|%.0d", &[7, 0], "007|"),
            ("%o %#o", &[8, 8], "10 010"),
            ("%k", &[], "%k"),
            ("end %", &[], "end %"),
            ("end %-5", &[], "end %-5"),
        ] {
            assert_eq!(formatted(format, arguments), expected, "{format}");
        }
    }
}
