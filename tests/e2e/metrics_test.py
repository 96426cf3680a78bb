"""What gpu-pool tells Prometheus, held against the rules of its text format."""

import os
import re
import urllib.request

import stack
from pool_stack import PoolTest
from stack import program

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*),?\}})? (\S+)(?: (-?\d+))?$")
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
# Other words for units that have a base unit, and what belongs to types rather than names.
NO_UNITS = {"milliseconds", "microseconds", "minutes", "hours", "days", "kilobytes", "megabytes", "gigabytes", "kib",
            "mib", "gib", "percent", "counter", "gauge", "histogram"}


def parse(text):
    """{family: (type, {(name, labels): value})}; a ValueError says which rule a line breaks."""

    def check(condition, rule):
        if not condition:
            raise ValueError(f"line {number}: {rule}: {line}")

    number, line = 0, "the end"
    families, helped, current = {}, set(), None
    check(text.endswith("\n"), "the last line ends with a line feed")
    for number, line in enumerate(text[:-1].split("\n"), 1):
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            check(current not in helped and current not in families, "a family is told once")
            helped.add(current)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(name not in families, "a family has one type, before its samples")
            check(kind in TYPES, "types are known")
            check(name in helped, "a family has a help text before its type")
            current, families[name] = name, (kind, {})
        elif line and not line.startswith("#"):
            match = SAMPLE.match(line)
            check(match, "a sample is a name, labels and a value")
            name, labels, value, _ = match.groups()
            check(current in families, "a sample is of a family")
            kind, samples = families[current]
            suffixes = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}.get(kind, ("",))
            check(name in [current + suffix for suffix in suffixes], "samples stand with their family")
            labels = tuple(sorted(re.findall(LABEL, labels or "")))
            check(len({label.split("=")[0] for label in labels}) == len(labels), "a label comes once")
            check((name, labels) not in samples, "a sample is told once")
            samples[name, labels] = float(value)
    return families


def complaints(families):
    """What breaks the conventions about names, or cannot be true."""
    for family, (kind, samples) in families.items():
        if not family.startswith("outboard_"):
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]*", family):
            yield f"{family}: lower case with underscores"
        if set(family.split("_")) & NO_UNITS:
            yield f"{family}: base units, and no types in names"
        if (kind == "counter") != family.endswith("_total"):
            yield f"{family}: counters alone end in _total"
        if not samples:
            yield f"{family}: has no samples"
        for (name, labels), value in samples.items():
            if "_ratio" in name and not 0 <= value <= 1:
                yield f"{name}: {value} is no ratio"
            if kind == "counter" and value < 0:
                yield f"{name}: {value} is no count"
        if kind == "histogram":
            buckets = [value for (name, _), value in samples.items() if name.endswith("_bucket")]
            if buckets != sorted(buckets):
                yield f"{family}: buckets are cumulative"
            ends = [label for name, labels in samples for label in labels if label == 'le="+Inf"']
            if not ends or buckets[-1] != samples[family + "_count", ()]:
                yield f"{family}: the last bucket holds all"


class Metrics(PoolTest):
    def scrape(self, address):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{address}/metrics", timeout=stack.SECONDS) as reply:
            self.assertTrue(reply.headers["Content-Type"].startswith("text/plain"))
            families = parse(reply.read().decode())
        self.assertEqual(list(complaints(families)), [])
        return families

    def value(self, families, name, *labels):
        samples = families[name][1]
        self.assertIn((name, labels), samples)
        return samples[name, labels]

    def test_the_rules_can_be_broken(self):
        good = "# HELP outboard_x_total That.\n# TYPE outboard_x_total counter\noutboard_x_total{a=\"b\"} 1\n"
        self.assertEqual(list(complaints(parse(good))), [])
        for old, new in ((" 1\n", " 1"), ("\"b\"", "b"), ("# TYPE outboard_x_total counter\n", ""),
                         (" counter", " count"), ("{a=\"b\"} 1\n", "{a=\"b\",a=\"c\"} 1\n"),
                         ("That.\n", "That.\n" + good), ("total{", "sum{")):
            with self.assertRaises(ValueError, msg=new):
                parse(good.replace(old, new, 1))
        for name in ("outboard_x", "outboard_X_total", "outboard_milliseconds_total"):
            self.assertNotEqual(list(complaints(parse(good.replace("outboard_x_total", name)))), [], name)

    def test_a_pool_without_nodes(self):
        _, address = self.start_pool("--metrics", "127.0.0.1:0")
        families = self.scrape(address)
        self.assertEqual(self.value(families, "outboard_nodes", 'state="ready"'), 0)
        self.assertEqual(self.value(families, "outboard_lease_active"), 0)
        self.assertEqual(self.value(families, "outboard_leader"), 1)
        self.assertEqual(families["outboard_lease_wait_seconds"][1]["outboard_lease_wait_seconds_count", ()], 0)

    def test_a_pool_at_work(self):
        _, address = self.start_pool("--metrics", "localhost:0")
        node = self.node("n1", 2)
        lease = node.take(0.25)
        node.ask(2)
        self.admin("quota", "vision", "--quota", "1.5")
        families = self.scrape(address)
        gpu = ('UUID="GPU-n1-0"', 'node="n1"')
        self.assertEqual(self.value(families, "outboard_nodes", 'state="ready"'), 1)
        self.assertEqual(self.value(families, "outboard_gpu_memory_total_bytes", *gpu), 80 << 30)
        self.assertEqual(self.value(families, "outboard_gpu_memory_leased_bytes", *gpu), 20 << 30)
        self.assertEqual(self.value(families, "outboard_gpu_memory_used_bytes", *gpu), 20 << 30)
        self.assertEqual(self.value(families, "outboard_gpu_leased_ratio", *gpu), 0.25)
        self.assertEqual(self.value(families, "outboard_gpu_utilization_ratio", *gpu), 0.25)
        self.assertEqual(self.value(families, "outboard_gpu_temperature_celsius", *gpu), 40)
        self.assertEqual(self.value(families, "outboard_lease_active"), 1)
        self.assertEqual(self.value(families, "outboard_lease_pending"), 1)
        self.assertEqual(self.value(families, "outboard_gpus_wanted"), 2)
        self.assertEqual(self.value(families, "outboard_tenant_quota_gpus", 'tenant="vision"'), 1.5)
        # Whole GPUs are typical where nothing else is said, and of 1.75 idle ones 0.75 are none.
        self.assertAlmostEqual(self.value(families, "outboard_fragmentation_ratio"), 0.75 / 1.75, places=4)
        waits = families["outboard_lease_wait_seconds"][1]
        self.assertEqual(waits["outboard_lease_wait_seconds_count", ()], 1)
        decisions = families["outboard_alloc_decision_seconds"][1]
        self.assertEqual(decisions["outboard_alloc_decision_seconds_count", ()], 2)

        self.admin("revoke", lease)
        node.say(f"over {node.say('end').split()[0]}")
        node.say("beat")
        families = self.scrape(address)
        self.assertGreaterEqual(self.value(families, "outboard_tenant_gpu_seconds_total", 'tenant="default"'), 0)

    def test_what_a_lost_node_measured_is_not_told(self):
        _, address = self.start_pool("--metrics", "127.0.0.1:0", config="times: {lost_after: 1s, lease_time: 1h}\n")
        self.node("n1", 1)
        self.wait_until(lambda: self.table("nodes")[0]["state"] == "lost", "the node is lost")
        families = self.scrape(address)
        self.assertEqual(self.value(families, "outboard_nodes", 'state="lost"'), 1)
        self.assertIn("outboard_gpu_memory_total_bytes", families)
        for family in ("outboard_gpu_memory_used_bytes", "outboard_gpu_utilization_ratio"):
            self.assertNotIn(family, families)

    def test_a_node(self):
        reader, writer = os.pipe()
        self.start(program("gpu-node"), "--metrics", "127.0.0.1:0", "--announce-fd", str(writer), pass_fds=[writer],
                   environment={"SOFTGPU_DIR": str(self.folder / "softgpu")})
        os.close(writer)
        with open(reader) as announcement:
            self.assertTrue(announcement.readline().startswith("ready "))
            word, address = announcement.readline().split()
        self.assertEqual(word, "metrics")
        families = self.scrape(address)
        self.assertEqual([value for value in families["outboard_gpu_memory_total_bytes"][1].values()], [64 << 20])
        self.assertIn('program="gpu-node"', next(iter(families["outboard_build_info"][1]))[1])

    def test_metrics_are_for_this_machine_alone(self):
        for address in ("0.0.0.0:0", "[::]:0", "here", "127.0.0.1:many"):
            status, _, errors = self.run_to_end(program("gpu-pool"), "--listen", self.pool, "--metrics", address)
            self.assertEqual(status, 1)
            self.assert_one_line(errors, address, "loopback")
        _, address = self.start_pool("--metrics", "127.0.0.1:0")
        status, _, errors = self.run_to_end(program("gpu-pool"), "--metrics", address)
        self.assertEqual(status, 1)
        self.assert_one_line(errors, address)


if __name__ == "__main__":
    stack.main()
