"""Runs the agent as Warren does, on archives made here. Start with: python3 -m unittest discover docs/examples/lint-package"""

import gzip
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import tempfile
import unittest

AGENT = pathlib.Path(__file__).with_name("agent.py")
HAS_PYFLAKES = importlib.util.find_spec("pyflakes") is not None

GOOD = b"import os\n\n\nclass Tool:\n    def run(self):\n        return os.getcwd()\n\n    async def wait(self):\n        pass\n"
UNUSED = b"import os\nimport sys\n\n\ndef f():\n    return undefined_name\n"
BROKEN = b"def f(:\n    pass\n"
INFO = b"Metadata-Version: 2.1\nName: sample-package\nVersion: 1.2.3\n\nAbout nothing.\n"

PACKAGE = {
    "sample_package-1.2.3/PKG-INFO": INFO,
    "sample_package-1.2.3/sample/__init__.py": b"",
    "sample_package-1.2.3/sample/good.py": GOOD,
    "sample_package-1.2.3/sample/unused.py": UNUSED,
    "sample_package-1.2.3/tests/broken.py": BROKEN,
    "sample_package-1.2.3/README": b"not a module\n",
}


def file_member(name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, io.BytesIO(content)


def special_member(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, None


def archive_of(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member, content in members:
            tar.addfile(member, content)
    return buffer.getvalue()


def archive_of_files(files):
    return archive_of(*(file_member(name, content) for name, content in files.items()))


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.outputs, self.temporary = self.root / "outputs", self.root / "tmp"
        self.outputs.mkdir()
        self.temporary.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.temporary),
            "WARREN_SESSION_ID": "session-1",
            "WARREN_RUN_ID": "run-1",
            "WARREN_INPUT_MANIFEST": str(self.root / "manifest.json"),
            "WARREN_OUTPUT_DIR": str(self.outputs),
        }

    def give(self, archive, name="package.tar.gz", **changes):
        path = self.root / name
        path.write_bytes(archive)
        digest = "sha256:" + hashlib.sha256(archive).hexdigest()
        entry = {"name": name, "path": str(path), "digest": digest, "size": len(archive), **changes}
        (self.root / "manifest.json").write_text(json.dumps({"inputs": [entry]}))

    def start(self):
        return subprocess.Popen(
            [sys.executable, str(AGENT)], env=self.environment, text=True, cwd="/",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )

    def run_agent(self):
        process = self.start()
        self.stdout, self.stderr = process.communicate(timeout=60)
        self.assertEqual(list(self.temporary.iterdir()), [], "the temporary directory is left behind")
        return process.returncode

    def result(self):
        return json.loads((self.outputs / "result.json").read_text())

    def assert_refused(self, *words):
        self.assertEqual(self.run_agent(), 2, self.stderr)
        for word in words:
            self.assertIn(word, self.stderr)
        self.assertNotIn("Traceback", self.stderr)
        self.assertEqual(list(self.outputs.iterdir()), [])


class Reports(Case):
    def test_a_package_is_counted(self):
        self.give(archive_of_files(PACKAGE))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        result = self.result()
        self.assertEqual((result["package"], result["version"]), ("sample-package", "1.2.3"))
        self.assertIs(result["complete"], True)
        counts = [result[name] for name in ("modules", "modules_in_package", "lines", "classes", "functions")]
        self.assertEqual(counts, [4, 4, 17, 1, 3])
        self.assertEqual(sorted(path.name for path in self.outputs.iterdir()), ["report.md", "result.json"])

    def test_a_syntax_error_is_reported_with_its_place(self):
        self.give(archive_of_files(PACKAGE))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        self.assertEqual(self.result()["syntax_errors"], 1)
        error = self.result()["first_syntax_errors"][0]
        self.assertEqual((error["path"], error["line"]), ("sample_package-1.2.3/tests/broken.py", 1))
        self.assertIn("tests/broken.py:1:", self.stderr)
        self.assertIn("tests/broken.py:1:", (self.outputs / "report.md").read_text())

    def test_there_is_a_line_of_progress_per_module(self):
        self.give(archive_of_files(PACKAGE))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        lines = [line for line in self.stdout.splitlines() if line.startswith("[")]
        self.assertEqual(len(lines), 4)
        self.assertTrue(lines[1].startswith("[2/4] sample_package-1.2.3/sample/good.py: 9 lines, 0 findings"), lines[1])

    def test_the_name_of_the_directory_stands_in_for_missing_metadata(self):
        self.give(archive_of_files({"other-2.0/module.py": GOOD}))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        self.assertEqual((self.result()["package"], self.result()["version"]), ("other", "2.0"))

    def test_a_module_that_the_parser_gives_up_on_is_a_syntax_error(self):
        deep = b"(" * 5000 + b")" * 5000
        self.give(archive_of_files({"p-1/null.py": b"a\0b", "p-1/deep.py": deep, "p-1/bytes.py": b"# coding: nonsense\n", "p-1/good.py": GOOD}))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        self.assertEqual((self.result()["syntax_errors"], self.result()["functions"]), (3, 2))

    def test_names_from_the_archive_do_not_reach_the_log_raw(self):
        self.give(archive_of_files({"p-1/evil\x1b[2J\nname.py": UNUSED, "p-1/\udcff.py": GOOD}))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        for text in (self.stdout, self.stderr, (self.outputs / "report.md").read_text()):
            self.assertNotIn("\x1b", text)
        self.assertIn("evil\\x1b[2J\\nname.py", self.stdout)

    def test_the_result_stays_small(self):
        modules = {f"p-1/{'long' * 50}/{'name' * 50}{number}.py": BROKEN for number in range(4000)}
        self.give(archive_of_files(modules))
        self.assertEqual(self.run_agent(), 0, self.stderr[-1000:])
        self.assertLess((self.outputs / "result.json").stat().st_size, 1024 * 1024)
        self.assertEqual(self.result()["syntax_errors"], 4000)

    @unittest.skipUnless(HAS_PYFLAKES, "pyflakes is not importable")
    def test_findings_are_counted_by_kind(self):
        self.give(archive_of_files(PACKAGE))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        result = self.result()
        self.assertEqual((result["findings"], result["findings_by_kind"]), (3, {"UnusedImport": 2, "UndefinedName": 1}))
        self.assertEqual(result["worst_modules"], [{"path": "sample_package-1.2.3/sample/unused.py", "findings": 3, "lines": 6}])
        self.assertTrue(result["linter"].startswith("pyflakes "))
        self.assertIn("sample/unused.py:6:12: undefined name 'undefined_name'", self.stderr)
        self.assertIn("| UnusedImport | 2 |", (self.outputs / "report.md").read_text())

    @unittest.skipIf(HAS_PYFLAKES, "pyflakes is importable")
    def test_without_pyflakes_the_report_says_so(self):
        self.give(archive_of_files(PACKAGE))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        self.assertIsNone(self.result()["linter"])
        self.assertIn("Not linted", (self.outputs / "report.md").read_text())


class Refusals(Case):
    def test_members_that_lead_out_are_refused(self):
        for name, member in {
            "an absolute path": file_member("/tmp/evil.py", GOOD),
            "a path upwards": file_member("p-1/../../evil.py", GOOD),
            "a symbolic link upwards": special_member("p-1/link", tarfile.SYMTYPE, "../../etc"),
            "an absolute symbolic link": special_member("p-1/link", tarfile.SYMTYPE, "/etc"),
            "a hard link upwards": special_member("p-1/link", tarfile.LNKTYPE, "../etc/passwd"),
            "a device": special_member("p-1/device", tarfile.CHRTYPE),
            "a pipe": special_member("p-1/pipe", tarfile.FIFOTYPE),
        }.items():
            with self.subTest(name):
                self.give(archive_of(file_member("p-1/good.py", GOOD), member))
                self.assert_refused("unsafe member")
                self.assertFalse((self.root / "evil.py").exists())

    def test_a_link_inside_is_left_out_and_the_rest_is_read(self):
        self.give(archive_of(
            file_member("p-1/good.py", GOOD), special_member("p-1/sub/link.py", tarfile.SYMTYPE, "../good.py"),
        ))
        self.assertEqual(self.run_agent(), 0, self.stderr)
        self.assertEqual(self.result()["modules"], 1)
        self.assertIn("links are not followed", self.stderr)

    def test_an_archive_that_unpacks_to_too_much_is_refused(self):
        member = tarfile.TarInfo("p-1/large.py")
        member.size = 257 * 1024 * 1024
        self.give(gzip.compress(member.tobuf()))  # the promise is enough
        self.assert_refused("too large")

    def test_what_is_no_archive_is_refused(self):
        whole = archive_of_files(PACKAGE)
        for name, content in {"no gzip": b"hello", "a part of one": whole[: len(whole) // 2], "nothing": b""}.items():
            with self.subTest(name):
                self.give(content)
                self.assert_refused("package.tar.gz")

    def test_a_file_below_a_file_is_refused(self):
        self.give(archive_of(file_member("p-1/a.py", GOOD), file_member("p-1/a.py/b.py", GOOD)))
        self.assert_refused("one name")

    def test_an_archive_without_modules_is_refused(self):
        self.give(archive_of_files({"p-1/README": b"hello\n"}))
        self.assert_refused("holds no Python modules")

    def test_other_bytes_than_promised_are_refused(self):
        self.give(archive_of_files(PACKAGE), digest="sha256:" + "0" * 64)
        self.assert_refused("is damaged")

    def test_an_input_that_is_missing_is_refused(self):
        self.give(archive_of_files(PACKAGE), path=str(self.root / "nowhere.tar.gz"))
        self.assert_refused("cannot read input")

    def test_another_kind_of_input_is_refused(self):
        self.give(b"PK", name="package.zip")
        self.assert_refused("exactly one source archive", "package.zip")

    def test_a_manifest_that_is_none_is_refused(self):
        for text in ("{", "[]", "{}", '{"inputs": [{"name": "package.tar.gz"}]}'):
            with self.subTest(text):
                (self.root / "manifest.json").write_text(text)
                self.assert_refused("is not a manifest")

    def test_a_missing_variable_is_named(self):
        for name in ("WARREN_INPUT_MANIFEST", "WARREN_OUTPUT_DIR"):
            with self.subTest(name):
                value = self.environment.pop(name)
                self.assert_refused(name)
                self.environment[name] = value


class Stops(Case):
    def test_a_stop_leaves_a_partial_report(self):
        # More progress than a pipe holds, and nobody reads on: the agent cannot be done when the signal comes.
        self.give(archive_of_files({f"p-1/module_with_a_long_name_{number:04}.py": GOOD for number in range(3000)}))
        process = self.start()
        while not process.stdout.readline().startswith("["):
            self.assertIsNone(process.poll(), "ended before the first module")
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 143, stderr)
        result = self.result()
        self.assertIs(result["complete"], False)
        self.assertEqual(result["modules_in_package"], 3000)
        self.assertTrue(0 < result["modules"] < 3000, result["modules"])
        self.assertIn("Stopped early", (self.outputs / "report.md").read_text())
        self.assertEqual(list(self.temporary.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
