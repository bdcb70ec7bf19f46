"""One class per replication tool.

To add one: subclass Peer, set `name`, implement start(src, dst, live) and mirror(src, dst), put it in PEERS. All it
starts goes through self.env.spawn(side, argv); stop() ends that, by pid.
"""
import json
import os
import re
import select
import shutil
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DIST = os.path.join(os.path.dirname(HERE), "dist")
PORT = 8730


class Peer:
    name = "?"
    live = False        # replicates continuously
    delta = False       # a second mirror sends differences only

    def __init__(self, env):
        self.env = env
        self.dir = os.path.join(env.tmp, "state-" + re.sub(r"[^A-Za-z0-9]+", "_", self.name))
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)

    def path(self, *a):
        return os.path.join(self.dir, *a)

    def write(self, name, text, mode=0o644):
        p = self.path(name)
        with open(p, "w") as f:
            f.write(text)
        os.chmod(p, mode)
        return p

    def start(self, src, dst, live=False):
        pass

    def mirror(self, src, dst):
        raise NotImplementedError

    def again(self, src, dst):
        """A mirror when both sides were equal before."""
        self.mirror(src, dst)

    def difference(self, src, dst):
        """A mirror when the source has changed while nobody watched."""
        self.mirror(src, dst)

    def stop(self):
        self.env.stop_all()

    def run(self, argv, side="src", **kw):
        p = self.env.spawn(side, argv, log=self.path("run.log"), **kw)
        rc = p.wait()
        self.env.forget(p)
        if rc:
            raise RuntimeError("%s: status %d: %s" % (self.name, rc, open(self.path("run.log"), errors="replace").read()[-600:]))

    def wait_port(self, port, timeout=10):
        end = time.time() + timeout
        wanted = ":%04X" % port
        while time.time() < end:
            for family in ("tcp", "tcp6"):
                for line in open("/proc/%d/net/%s" % (self.env.holder["dst"].pid, family)):
                    f = line.split()
                    if len(f) > 3 and f[1].endswith(wanted) and f[3] == "0A":
                        return
            time.sleep(0.02)
        raise RuntimeError("%s: nothing listens on port %d" % (self.name, port))

    def rsyncd(self, dst):
        conf = self.write("rsyncd.conf", "use chroot = no\nuid = 0\ngid = 0\nreverse lookup = no\n"
                          "forward lookup = no\nmunge symlinks = no\n[mod]\npath = %s\nread only = no\n" % dst)
        self.env.spawn("dst", ["rsync", "--daemon", "--no-detach", "--config=" + conf, "--port=%d" % PORT], log=self.path("rsyncd.log"))
        self.wait_port(PORT)

    def sshd(self):
        for k in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(k)], check=True)
        shutil.copy(self.path("user.pub"), self.path("auth"))
        os.chmod(self.path("auth"), 0o600)
        os.makedirs("/run/sshd", exist_ok=True)
        conf = self.write("sshd.conf", "Port 2222\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\n"
                          "UsePAM no\nPidFile none\nPermitRootLogin yes\nUseDNS no\nPasswordAuthentication no\n"
                          "MaxStartups 100\n" % (self.path("host"), self.path("auth")))
        self.env.spawn("dst", [shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", conf], log=self.path("sshd.log"))
        self.wait_port(2222)
        return ["ssh", "-p", "2222", "-i", self.path("user"), "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=" + os.devnull, "-o", "LogLevel=ERROR", "-F", "none"]


class Cp(Peer):
    """No network: what the file system alone allows."""
    name = "cp -a (local)"

    def mirror(self, src, dst):
        self.run(["cp", "-a", "--reflink=never", src + "/.", dst + "/"])


class Tar(Peer):
    """Always a full copy, never a delete."""
    name = "tar over a socket"
    turn = 0

    def mirror(self, src, dst):
        self.turn += 1
        port = 8800 + self.turn
        receiver = self.env.spawn("dst", ["bash", "-c", "socat -u -b 262144 TCP-LISTEN:%d,reuseaddr - | tar -C '%s' -xpf - --numeric-owner"
                                          % (port, dst)], log=self.path("run.log"))
        self.wait_port(port)
        self.run(["bash", "-c", "tar -C '%s' -cSf - --format=posix . | socat -u -b 262144 - TCP:%s:%d"
                  % (src, self.env.ip["dst"], port)])
        if receiver.wait():
            raise RuntimeError("the receiving tar failed")
        self.env.forget(receiver)


class Rsync(Peer):
    """Plain text over TCP: rsync at its fastest."""
    name, delta, opts = "rsync daemon", True, ()

    def start(self, src, dst, live=False):
        self.rsyncd(dst)

    def mirror(self, src, dst):
        self.run(["rsync", "-aH", "--numeric-ids", "--delete", *self.opts, src + "/", "rsync://%s:%d/mod/" % (self.env.ip["dst"], PORT)])


class RsyncInplace(Rsync):
    name, opts = "rsync daemon --inplace", ("--inplace",)


class RsyncSsh(Rsync):
    """Encrypted, as rsync is used between machines."""
    name = "rsync over ssh"

    def start(self, src, dst, live=False):
        self.ssh = " ".join(self.sshd())

    def mirror(self, src, dst):
        self.run(["rsync", "-aH", "--numeric-ids", "--delete", "-e", self.ssh, src + "/", "root@%s:%s/" % (self.env.ip["dst"], dst)])


class Lsyncd(Peer):
    name, live, delta = "lsyncd delay=0", True, True
    delay, inplace, modify = 0, False, False      # lsyncd by itself looks at close() only, not at write()

    def start(self, src, dst, live=True):
        self.rsyncd(dst)
        self.lsyncd('default.rsync, source="%s", target="rsync://%s:%d/mod/"' % (src, self.env.ip["dst"], PORT))

    def lsyncd(self, what, shell=""):
        conf = self.write("lsyncd.conf", 'settings { nodaemon=true, logfile="%s", pidfile="%s", insist=true%s }\n'
                          'sync { %s, delete=true, delay=%d,\n rsync={ archive=true, hard_links=true, %s %s _extra={"--numeric-ids"} } }\n'
                          % (self.path("lsyncd.log"), self.path("pid"),
                             ', inotifyMode="CloseWrite or Modify"' if self.modify else "", what, self.delay,
                             "inplace=true," if self.inplace else "", shell))
        self.env.spawn("src", ["lsyncd", "-nodaemon", conf], log=self.path("out.log"))


class LsyncdInplace(Lsyncd):
    name, delay, inplace, modify = "lsyncd Modify --inplace", 1, True, True


class LsyncdSsh(Lsyncd):
    """Moves directories with mv over ssh."""
    name, delay = "lsyncd rsyncssh", 1

    def start(self, src, dst, live=True):
        self.sshd()
        conf = self.write("ssh.conf", "Host *\n Port 2222\n User root\n IdentityFile %s\n StrictHostKeyChecking no\n"
                          " UserKnownHostsFile %s\n LogLevel ERROR\n" % (self.path("user"), os.devnull))
        self.lsyncd('default.rsyncssh, source="%s", host="%s", targetdir="%s", ssh={ _extra={"-F","%s"}, binary="%s" }'
                    % (src, self.env.ip["dst"], dst, conf, shutil.which("ssh")), shell='rsh="ssh -F %s",' % conf)


class Understudy(Peer):
    """Two agents, one in each namespace; a driver outside of both speaks to their sockets, as a console would."""
    name, live, delta = "understudy", True, True
    node = shutil.which("node")
    turn = 0

    def start(self, src, dst, live=False):
        for side in ("dst", "src"):
            self.start_agent(side)
        self.driver = subprocess.Popen([self.node, os.path.join(DIST, "bench", "driver.js")], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True, bufsize=1)
        self.ask("open", source=self.path("src", "agent.sock"), target=self.path("dst", "agent.sock"), host=self.env.ip["dst"], port=1500)
        if live:
            self.ask("connect", source=src, target=dst, mirror={"kind": "difference"})
            self.ask("barrier")

    def start_agent(self, side):
        os.makedirs(self.path(side, "state"), exist_ok=True)
        conf = self.write(os.path.join(side, "understudy.toml"), '[agent]\nname = "%s"\n' % side)
        return self.env.spawn(side, [self.node, os.path.join(DIST, "agentd", "main.js"), "--config", conf,
                                     "--state", self.path(side, "state"), "--socket", self.path(side, "agent.sock"),
                                     "--listen", "%s:1500" % self.env.ip[side]], log=self.path(side, "agent.log"))

    def ask(self, what, **more):
        """One request to the driver; returns its answer when the work is done."""
        self.driver.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self.driver.stdin.flush()
        # The driver has its own time limits; this one is for a driver that hangs.
        ready, _, _ = select.select([self.driver.stdout], [], [], 400)
        line = self.driver.stdout.readline() if ready else ""
        answer = json.loads(line) if line else {"error": "the driver does not answer"}
        if "error" in answer:
            logs = "".join(open(self.path(s, "agent.log"), errors="replace").read()[-400:] for s in ("src", "dst"))
            raise RuntimeError("understudy: %s: %s\n%s" % (what, answer["error"], logs))
        return answer

    def mirror(self, src, dst):
        self.ask("connect", source=src, target=dst, mirror={"kind": "full"})

    def again(self, src, dst):
        self.ask("mirror", mirror={"kind": "difference"})

    def difference(self, src, dst):
        """As after a time apart: neither side remembers anything, blocks are compared over the wire."""
        self.ask("connect", source=src, target=dst, mirror={"kind": "difference", "checksum": True})

    def disconnect(self):
        self.ask("disconnect")

    def stop(self):
        if getattr(self, "driver", None):
            self.driver.kill()
            self.driver.wait()
            self.driver = None
        self.env.stop_all()


PEERS = [Cp, Tar, Rsync, RsyncInplace, RsyncSsh, Lsyncd, LsyncdInplace, LsyncdSsh, Understudy]
BY_NAME = {c.name: c for c in PEERS}
