"""Checks recorded requests against the public descriptions of the API.

    check.py RELEASE FILE ROLES

ROLES has the privileges of the client's token, by the first part of the paths that they are given on. Each line of FILE is one request: method, path, parameters as pairs, and the kind of what was answered. The descriptions are read from installed packages and are no part of this project:

  9.x  fakepve: every parameter with its type, format, range and nested property strings, and the rights
  8.x  proxmoxer-stubs: which calls there are, and what they answer
  7.x  the same, and prmxctrl: the parameters of every call, by name

Prints one line for each problem and ends with 1 if there was one.
"""

import ast
import collections
import importlib.util
import json
import pathlib
import re
import sys

# What is answered where the description names a type of its own.
LIST = re.compile(r'list\[|^list|Any')


def package(name):
    """The folder of an installed package, which is not loaded."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        sys.exit(f'{name} is not installed')
    return pathlib.Path(next(iter(spec.submodule_search_locations)))


def grouped(pairs):
    """Parameters by name; a name that was sent more than once has a list."""
    values = collections.defaultdict(list)
    for key, value in pairs:
        values[key].append(value)
    return {key: found if len(found) > 1 else found[0] for key, found in values.items()}


def template(paths, path):
    """The templates among `paths` that a path fits, those with more literal parts first."""
    segments = path.strip('/').split('/')

    def fits(candidate):
        parts = candidate.strip('/').split('/')
        return len(parts) == len(segments) and all(
            part.startswith('{') or part == segment for part, segment in zip(parts, segments))
    return sorted(filter(fits, paths), key=lambda candidate: candidate.count('{'))


def shortened(path):
    """A path whose volume is one segment, as it is in a template."""
    return re.sub(r'(/content/[^/]+)/.*', r'\1', path)


def by_schema(requests):
    """Every parameter against the schema of release 9."""
    from fakepve import schema
    known = schema.load()
    for request in requests:
        call = f"{request['method']} {request['path']}"
        match = known.match(shortened(request['path']))
        info = match and match.methods.get(request['method'])
        if not info:
            yield f'{call}: no such call'
            continue
        values = dict(grouped(request['parameters']), **match.params)
        _, errors = schema.validate(info.get('parameters'), values)
        for name, why in errors.items():
            if name in match.params and name == 'volume':
                continue
            yield f'{call}: {name}: {why}'
        booleans = [name for name, sch in (info.get('parameters') or {}).get('properties', {}).items()
                    if sch.get('type') == 'boolean']
        for name in booleans:
            if name in values and values[name] not in ('0', '1'):
                yield f'{call}: {name}: a flag is 0 or 1, not {values[name]!r}'
        if info.get('allowtoken') in (0, '0'):
            yield f'{call}: not for tokens'


def is_allowed(check, roles):
    """Whether the roles hold what a call checks. Pools hand their rights on to their VMs."""
    kind, *rest = check
    if kind == 'and':
        return all(is_allowed(part, roles) for part in rest)
    if kind == 'or':
        return any(is_allowed(part, roles) for part in rest)
    if kind != 'perm':
        return True
    path, privileges, *options = rest
    place = path.strip('/').split('/')[0].replace('pool', 'vms')
    held = [privilege in roles.get(place, []) for privilege in privileges]
    return any(held) if 'any' in options else all(held)


def by_rights(requests, roles):
    """That the roles hold what every call checks, and name no privilege that nothing checks."""
    from fakepve import schema
    known = schema.load()
    for request in requests:
        match = known.match(shortened(request['path']))
        rights = match.methods[request['method']].get('permissions') or {}
        if not is_allowed(rights.get('check') or ['all'], roles):
            yield f"{request['method']} {request['path']}: needs {rights['check']}"
    checked = json.dumps(known.paths)
    # Checked inside of calls, where the description does not say so.
    checked += ' SDN.Use Mapping.Use '
    for privilege in set(sum(roles.values(), [])):
        if privilege not in checked:
            yield f'{privilege}: no call checks it'


def calls(release):
    """The calls of a release with what they answer, from the comments and annotations of proxmoxer-stubs."""
    found, scopes = {}, []
    method, is_call = None, False
    text = (package('proxmoxer_types') / f'v{release}' / 'core.py').read_text()
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        comment = re.match(r'\s*# (/\S*)$', line)
        verb = re.match(r'\s*class _(Get|Post|Put|Delete):', line)
        if comment:
            scopes = [scope for scope in scopes if scope[0] < indent] + [(indent, comment[1])]
        elif verb:
            path = [scope for scope in scopes if scope[0] < indent][-1][1]
            method = (verb[1].upper(), path)
            found[method], is_call = None, False
        elif method:
            is_call = is_call or 'def __call__' in line
            if is_call and ') -> ' in line:
                found[method] = line.rsplit(') -> ', 1)[1].strip(' :')
                method = None
    return found


def by_calls(requests, release):
    """That there are such calls, and that they answer what the client was answered in the tests."""
    known = calls(release)
    for request in requests:
        call = f"{request['method']} {request['path']}"
        paths = {path for method, path in known if method == request['method']}
        fitting = template(paths, shortened(request['path']))
        if not fitting:
            yield f'{call}: no such call in release {release}'
            continue
        promised = known[(request['method'], fitting[0])]
        answered = request['answered']
        kinds = {'None': {'null'}, 'str': {'string'}, 'builtins.str': {'string'}, 'int': {'number', 'string'}}
        if promised in kinds and answered not in kinds[promised]:
            yield f'{call}: answers {promised} in release {release}, not {answered}'
        if promised not in kinds and LIST.search(promised) and answered not in ('list', 'object', 'string', 'null'):
            yield f'{call}: answers {promised} in release {release}, not {answered}'


def models():
    """The parameters of every call of release 7 by name, and whether they must be given."""
    found = {}
    for file in (package('prmxctrl') / 'models').glob('*.py'):
        for node in ast.parse(file.read_text()).body:
            docs = isinstance(node, ast.ClassDef) and ast.get_docstring(node) or ''
            told = re.match(r'Request model for (\S+) (\w+)', docs)
            if not told:
                continue
            fields = {}
            for item in node.body:
                if isinstance(item, ast.AnnAssign):
                    keywords = getattr(item.value, 'keywords', [])
                    alias = [word.value.value for word in keywords if word.arg in ('alias', 'serialization_alias')]
                    annotation = ast.unparse(item.annotation)
                    has_default = any(word.arg == 'default' for word in keywords)
                    is_needed = 'None' not in annotation and not has_default
                    fields[alias[0] if alias else item.target.id] = is_needed
            found[(told[2], told[1])] = fields
    return found


def by_models(requests):
    """That release 7 knows every parameter, and has all that it needs."""
    known = models()
    for request in requests:
        call = f"{request['method']} {request['path']}"
        fitting = template({path for method, path in known if method == request['method']},
                           shortened(request['path']))
        if not fitting:
            if request['parameters']:
                yield f'{call}: takes no parameters in release 7'
            continue
        fields = known[(request['method'], fitting[0])]
        in_path = set(re.findall(r'{(\w+)}', fitting[0]))
        sent = set(grouped(request['parameters']))
        for name in sorted(sent):
            numbered = re.sub(r'\d+$', '[n]', name)
            if name not in fields and numbered not in fields:
                yield f'{call}: {name}: unknown in release 7'
        for name, is_needed in fields.items():
            if is_needed and name not in sent | in_path:
                yield f'{call}: {name}: missing in release 7'


def main():
    release, file = sys.argv[1], sys.argv[2]
    requests = [json.loads(line) for line in pathlib.Path(file).read_text().splitlines()]
    problems = []
    if release.startswith('9'):
        problems += by_schema(requests)
        problems += by_rights(requests, json.loads(pathlib.Path(sys.argv[3]).read_text()))
    if release.startswith('8'):
        problems += by_calls(requests, 8)
    if release.startswith('7'):
        problems += by_calls(requests, 7)
        problems += by_models(requests)
    for problem in dict.fromkeys(problems):
        print(problem)
    print(f'{len(requests)} requests, {len(set(problems))} problems')
    sys.exit(1 if problems else 0)


main()
