"""A real Apache Kafka on free ports, from the jars of tests/clients/pom.xml, ended with the test; and raw requests to any broker."""
import os
import pathlib
import shutil
import socket
import struct
import subprocess

from conftest import ROOT, eventually, free_port

LIB = pathlib.Path(os.environ.get("KAFKA_LIB", ROOT / ".test-env/kafka/lib"))
# How long a JVM may take on a busy machine.
START_SECONDS = 180
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=true
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:admin
"""


class Kafka:
    """One node that is broker and controller."""

    def __init__(self, folder):
        self.folder, self.port, self.process = pathlib.Path(folder), free_port(), None

    def java(self, *args, **kwargs):
        return ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", f"{LIB}/*", *args]

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        properties.write_text(PROPERTIES.format(port=self.port, controller=free_port(), folder=self.folder))
        storage = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", properties]
        subprocess.run(self.java(*storage), check=True, capture_output=True, timeout=START_SECONDS)
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(self.java("kafka.Kafka", properties), stdout=self.log, stderr=subprocess.STDOUT)
        eventually(self.answers, START_SECONDS, f"Kafka is up; see {self.folder}/log")
        return self

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(10)
        shutil.rmtree(self.folder / "data", ignore_errors=True)


class Closed(Exception):
    """The broker closed the connection instead of answering."""


class Peer:
    """Raw requests to one broker, each answered before the next."""

    def __init__(self, definitions, port):
        self.definitions, self.port, self.socket, self.correlation = definitions, port, None, 0

    def connection(self):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), 30)
        return self.socket

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None

    def receive(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.connection().recv(count - len(data))
            except ConnectionError:
                piece = b""
            if not piece:
                self.close()
                raise Closed
            data += piece
        return data

    def raw(self, frame):
        """Sends a frame, gives the answer's."""
        self.connection().sendall(struct.pack(">i", len(frame)) + frame)
        return self.receive(struct.unpack(">i", self.receive(4))[0])

    def call(self, api, version, body=None, **header):
        self.correlation += 1
        frame = self.raw(self.definitions.request(api, version, body or {}, self.correlation, **header))
        correlation, answer = self.definitions.response(api, version, frame)
        assert correlation == self.correlation
        return answer

    def tell(self, api, version, body=None, **header):
        """As `call`; a closed connection is an answer too."""
        try:
            return self.call(api, version, body, **header)
        except Closed:
            return "closed"
