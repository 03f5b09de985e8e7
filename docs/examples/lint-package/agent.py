"""An agent for Warren that reads a Python source archive, lints every module and reports what it found.

Warren's contract with an image, all of it: the environment names the session, the run, a manifest of inputs and a
directory for outputs; result.json there is the result, other files are artifacts; exit code 0 is success; SIGTERM asks
to stop. Nothing but the output directory and /tmp needs to be writable, and no network is needed.
"""

import ast
import collections
import dataclasses
import email.parser
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tarfile
import tempfile
import warnings
import zlib

try:
    import pyflakes
    import pyflakes.api
    import pyflakes.reporter
except ImportError:
    pyflakes = None

EXIT_BAD_INPUT = 2
EXIT_STOPPED = 128 + signal.SIGTERM

# An archive is input from a stranger: /tmp is small, and a few kilobytes can unpack to gigabytes.
MAX_MEMBERS = 20_000
MAX_UNPACKED_BYTES = 256 * 1024 * 1024

# Warren takes results of up to 1 MiB; with these limits one stays far below, whatever the package is like.
MAX_RESULT_BYTES = 1024 * 1024
MAX_WORST_MODULES = 20
MAX_SYNTAX_ERRORS = 100
MAX_TEXT = 300


class InputError(Exception):
    """The input cannot be worked on; the text says why, for the person who gave it."""


class Stopped(BaseException):
    """SIGTERM arrived. Not an Exception, so that no handler of a library swallows it."""


@dataclasses.dataclass
class Module:
    path: str
    lines: int
    classes: int = 0
    functions: int = 0
    findings: list = dataclasses.field(default_factory=list)
    syntax_error: dict | None = None


@dataclasses.dataclass
class Report:
    package: str = "unknown"
    version: str = "unknown"
    expected: int = 0
    modules: list = dataclasses.field(default_factory=list)
    is_complete: bool = False

    def total(self, count):
        return sum(count(module) for module in self.modules)

    def findings_by_kind(self):
        kinds = collections.Counter(kind for module in self.modules for kind, _ in module.findings)
        return dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))

    def worst(self):
        bad = [module for module in self.modules if module.findings]
        return sorted(bad, key=lambda module: (-len(module.findings), module.path))[:MAX_WORST_MODULES]

    def syntax_errors(self):
        return [module.syntax_error for module in self.modules if module.syntax_error]

    def result(self):
        errors = self.syntax_errors()
        return {
            "package": self.package,
            "version": self.version,
            "complete": self.is_complete,
            "linter": f"pyflakes {pyflakes.__version__}" if pyflakes else None,
            "modules": len(self.modules),
            "modules_in_package": self.expected,
            "lines": self.total(lambda module: module.lines),
            "classes": self.total(lambda module: module.classes),
            "functions": self.total(lambda module: module.functions),
            "findings": self.total(lambda module: len(module.findings)),
            "findings_by_kind": self.findings_by_kind(),
            "syntax_errors": len(errors),
            "first_syntax_errors": errors[:MAX_SYNTAX_ERRORS],
            "worst_modules": [
                {"path": module.path, "findings": len(module.findings), "lines": module.lines}
                for module in self.worst()
            ],
        }

    def markdown(self):
        result = self.result()
        lines = [f"# {self.package} {self.version}", ""]
        if not self.is_complete:
            lines += [f"**Stopped early**: {len(self.modules)} of {self.expected} modules were read.", ""]
        if not pyflakes:
            lines += ["**Not linted**: pyflakes is not installed in this image; modules were only parsed.", ""]
        totals = ("modules", "lines", "classes", "functions", "findings", "syntax_errors")
        lines += table(("what", "count"), [(name.replace("_", " "), result[name]) for name in totals])
        if result["findings"]:
            lines += ["## Findings by kind", ""]
            lines += table(("kind", "count"), result["findings_by_kind"].items())
            lines += ["## Modules with the most findings", ""]
            rows = [(code(m["path"]), m["findings"], m["lines"]) for m in result["worst_modules"]]
            lines += table(("module", "findings", "lines"), rows)
        if result["syntax_errors"]:
            lines += ["## Syntax errors", ""]
            for error in result["first_syntax_errors"]:
                place = f"{error['path']}:{error['line']}:{error['column']}"
                lines.append(f"- {code(place)} {error['message']}")
            lines.append("")
        return "\n".join(lines)

    def write(self, directory):
        text = json.dumps(self.result(), indent=2) + "\n"
        if len(text.encode()) > MAX_RESULT_BYTES:
            raise AssertionError("the limits above keep a result small")
        replace(directory / "report.md", self.markdown())
        replace(directory / "result.json", text)  # last: where it is, the report is too


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]


def code(text):
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`"


def replace(path, text):
    """Writes a file in full or not at all, for whoever collects it at any moment."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def printable(text):
    """Names and messages come from the archive: no control character of theirs reaches a log or a report."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:MAX_TEXT])
    return shown if len(text) <= MAX_TEXT else shown + "..."


def environment_path(name):
    value = os.environ.get(name)
    if not value:
        raise InputError(f"{name} is not set: this program runs as an agent of Warren, see README.md")
    return pathlib.Path(value)


def find_archive(manifest_path):
    """The input that the manifest names, once its bytes are those that the manifest promises."""
    try:
        inputs = json.loads(manifest_path.read_text(encoding="utf-8"))["inputs"]
        entries = [(str(i["name"]), pathlib.Path(i["path"]), str(i["digest"]), int(i["size"])) for i in inputs]
    except OSError as error:
        raise InputError(f"cannot read the manifest: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{manifest_path} is not a manifest of inputs: {error!r}") from error
    archives = [entry for entry in entries if entry[0].endswith((".tar.gz", ".tgz"))]
    if len(archives) != 1:
        names = ", ".join(printable(entry[0]) for entry in entries) or "nothing"
        raise InputError(f"exactly one source archive (.tar.gz) is needed as input, given: {names}")
    name, path, digest, size = archives[0]
    try:
        with path.open("rb") as file:
            found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read input {printable(name)}: {error}") from error
    if (found, path.stat().st_size) != (digest, size):
        raise InputError(f"input {printable(name)} is damaged: expected {size} bytes with {digest}, found {found}")
    return path


def checked_path(name):
    """The parts of a member's name, if it stays inside the directory that it is unpacked to."""
    parts = pathlib.PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise InputError(f"unsafe member {printable(name)!r}: its path leads out of the archive")
    return parts


def unpack(archive, directory):
    """Unpacks regular files only. Links are never made, so no later member can be written through one."""
    members = unpacked = 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            members += 1
            unpacked += member.size
            if members > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES:
                raise InputError(f"the archive is too large: more than {MAX_MEMBERS} members or {MAX_UNPACKED_BYTES} bytes")
            parts = checked_path(member.name)
            target = directory.joinpath(*parts)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                target.parent.mkdir(parents=True, exist_ok=True)
                with tar.extractfile(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
            elif member.issym() or member.islnk():
                check_link(member, parts)
                warn(f"{printable(member.name)}: links are not followed")
            else:
                raise InputError(f"unsafe member {printable(member.name)!r}: neither a file, a directory nor a link")


def check_link(member, parts):
    """A link that leads out is a reason to refuse the archive, though this program makes none."""
    # A symbolic link is relative to its own directory, a hard link to the root of the archive.
    base = parts[:-1] if member.issym() else ()
    if member.linkname.startswith("/") or os.path.normpath(os.path.join(*base, member.linkname)).startswith(".."):
        raise InputError(f"unsafe member {printable(member.name)!r}: it links to {printable(member.linkname)!r}")


def describe(directory, report):
    """Takes name and version from PKG-INFO, or else from the name of the archive's one directory."""
    tops = [entry for entry in directory.iterdir() if entry.is_dir()]
    if len(tops) == 1 and "-" in tops[0].name:
        report.package, report.version = map(printable, tops[0].name.rsplit("-", 1))
    for info in [directory / "PKG-INFO", *(top / "PKG-INFO" for top in tops)]:
        if info.is_file():
            headers = email.parser.BytesHeaderParser().parsebytes(info.read_bytes())
            report.package = printable(str(headers.get("Name", report.package)))
            report.version = printable(str(headers.get("Version", report.version)))
            return


def examine(path, shown):
    source = path.read_bytes()
    module = Module(path=shown, lines=len(source.splitlines()))
    try:
        tree = ast.parse(source, filename=shown)
    except SyntaxError as error:
        module.syntax_error = syntax_error(shown, error.lineno, error.offset, error.msg)
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes; deeper than the parser goes
        module.syntax_error = syntax_error(shown, None, None, str(error) or type(error).__name__)
    else:
        for node in ast.walk(tree):
            module.classes += isinstance(node, ast.ClassDef)
            module.functions += isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if pyflakes:
            module.findings = lint(source, shown)
    return module


def syntax_error(path, line, column, message):
    return {"path": path, "line": line, "column": column, "message": printable(message)}


def lint(source, shown):
    """Pairs of kind and text, as pyflakes gives them in the order of lines."""
    findings = []

    class Collector(pyflakes.reporter.Reporter):
        def __init__(self):
            super().__init__(sys.stderr, sys.stderr)

        def flake(self, message):
            findings.append((type(message).__name__, printable(str(message))))

    try:
        pyflakes.api.check(source, shown, Collector())
    except Exception as error:  # a linter that fails on one module says so, and the others are still read
        findings.append(("LinterFailed", printable(f"{shown}: {error!r}")))
    return findings


def work(report, archive):
    with tempfile.TemporaryDirectory(prefix="lint-package-") as name:
        directory = pathlib.Path(name)
        try:
            unpack(archive, directory)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise InputError(f"{archive.name} cannot be read as a .tar.gz archive: {error}") from error
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise InputError(f"{archive.name} holds a file and a directory of one name: {error}") from error
        describe(directory, report)
        paths = sorted(path for path in directory.rglob("*.py") if path.is_file())
        if not paths:
            raise InputError(f"{archive.name} holds no Python modules")
        report.expected = len(paths)
        print(f"{report.package} {report.version}: {report.expected} modules", flush=True)
        for number, path in enumerate(paths, start=1):
            module = examine(path, printable(path.relative_to(directory).as_posix()))
            report.modules.append(module)
            for _, text in module.findings:
                warn(text)
            if module.syntax_error:
                error = module.syntax_error
                warn(f"{error['path']}:{error['line']}:{error['column']}: {error['message']}")
            problems = len(module.findings) + bool(module.syntax_error)
            print(f"[{number}/{report.expected}] {module.path}: {module.lines} lines, {problems} findings", flush=True)
    report.is_complete = True


def warn(text):
    print(f"warning: {text}", file=sys.stderr, flush=True)


def stop(_signal, _frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one shall not disturb the report
    raise Stopped


def main():
    warnings.simplefilter("ignore")  # what the compiler thinks of a package's escapes is no business of the log
    report, outputs = Report(), None
    try:
        signal.signal(signal.SIGTERM, stop)
        outputs = environment_path("WARREN_OUTPUT_DIR")
        if not outputs.is_dir():
            raise InputError(f"WARREN_OUTPUT_DIR is not a directory: {outputs}")
        archive = find_archive(environment_path("WARREN_INPUT_MANIFEST"))
        session, run = (os.environ.get(name, "by hand") for name in ("WARREN_SESSION_ID", "WARREN_RUN_ID"))
        print(f"session {session}, run {run}: {archive.name}", flush=True)
        if not pyflakes:
            warn("pyflakes is not installed: modules are parsed, not linted")
        work(report, archive)
        report.write(outputs)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except Stopped:
        if outputs and outputs.is_dir():
            report.write(outputs)
        print(f"stopped after {len(report.modules)} of {report.expected} modules", file=sys.stderr)
        return EXIT_STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
