//! `rump run --in-process --kernel`: the programs and roles of `run_in_process`, as clients of
//! a kernel in another process.

mod common;
#[path = "clients/killed.rs"]
#[allow(dead_code)]
mod killed;
#[path = "preload/modes.rs"]
mod modes;
#[path = "preload/roles.rs"]
mod own;
#[path = "clients/programs.rs"]
#[allow(dead_code)]
mod programs;
#[path = "clients/roles.rs"]
mod roles;
#[path = "clients/runner.rs"]
#[allow(dead_code)]
mod runner;

use common::Outcome;
use modes::FILES;
use runner::Runner;

/// Of the runner.
pub const OPTIONS: &[&str] = &["--in-process"];

/// Whether the kernel is a process of its own.
pub const ELSEWHERE: bool = true;

fn main() {
    // Children are other clients here.
    modes::main("remote", "a_child_keeps_its_own", || {
        vec![
            runner::trial("remote::nobody_listens", nobody_listens),
            runner::trial("remote::children", children),
            runner::trial("remote::programs_get_sockets", programs_get_sockets),
        ]
    });
}

/// Not the host's network instead.
fn nobody_listens() -> Outcome {
    let told = Runner::elsewhere("unix:/nonexistent/rump.sock")
        .arguments(["python3", "-c", "import socket; socket.socket()"])
        .output()?;
    assert_eq!(told.status, 127, "{told:?}");
    assert!(told.errors.contains("/nonexistent/rump.sock"), "{told:?}");
    Ok(())
}

/// They have their parent's sockets, and make their own.
fn children() -> Outcome {
    let script = "\
import os, socket
server = socket.create_server(('127.0.0.1', 0))
for number in range(3):
    if os.fork() == 0:
        connection, _ = server.accept()
        connection.sendall(b'child %d' % number)
        connection.close()
        os._exit(0)
    with socket.create_connection(server.getsockname()) as client:
        print(client.makefile().read())
    print(os.wait()[1])
";
    let told = Runner::new()
        .arguments(["python3", "-c", script])
        .output()?;
    let expected = "child 0\n0\nchild 1\n0\nchild 2\n0\n";
    assert_eq!(told.output, expected, "{told:?}");
    Ok(())
}

/// As an inetd does it, without variables; and curl, beside a socket that it knows nothing of.
fn programs_get_sockets() -> Outcome {
    let script = "\
import http.server, os, socket, subprocess, sys, threading
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
one, _ = server.accept()
if os.fork() == 0:
    os.dup2(one.fileno(), 0)
    os.dup2(one.fileno(), 1)
    script = 'import os, socket; s = socket.socket(fileno=0); ' \
        'os.write(1, s.recv(9).upper()); print(s.getpeername()[0])'
    os.execve(sys.executable, ['python3', '-c', script], {})
one.close()
client.sendall(b'inetd')
text = b''
while piece := client.recv(64): text += piece
print(text, os.waitstatus_to_exitcode(os.wait()[1]))

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'a page')
    def log_message(self, *_): pass
web = http.server.HTTPServer(('127.0.0.1', 0), Page)
threading.Thread(target=web.serve_forever, daemon=True).start()
client = socket.create_connection(server.getsockname())
one, _ = server.accept()
for spawns in False, True:
    curl = ['curl', '-sS', '--noproxy', '*', '-m', '20', 'http://127.0.0.1:%d/' % web.server_port]
    if spawns:
        os.set_inheritable(one.fileno(), True)
        pid = os.posix_spawnp('curl', curl, os.environ)
        print('', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    else:
        print(subprocess.run(curl, pass_fds=[one.fileno()], capture_output=True).stdout)
one.sendall(b'still here')
print(client.recv(99))
one.close()
print(client.recv(99))
os._exit(0)
";
    let told = Runner::new()
        .arguments(["python3", "-u", "-c", script])
        .output()?;
    let expected = "b'INETD127.0.0.1\\n' 0\nb'a page'\na page 0\nb'still here'\nb''\n";
    assert_eq!(told.output, expected, "{told:?}");
    Ok(())
}
