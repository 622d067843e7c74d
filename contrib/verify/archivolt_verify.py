#!/usr/bin/env python3
"""Verifies an export of Archivolt, as docs/format/manifest.md of the project says.

Needs Python 3.8 and the package cryptography (Debian: python3-cryptography). ledger.jsonl is for archivolt_ledger.py.
Exit codes: 0 intact, 13 not, 2 called wrongly, 1 the folder cannot be read.
"""
import argparse, base64, datetime, hashlib, json, os, re, stat, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

STATUS, LARGEST = ("ok", "plain", "unverified", "damaged", "no-key"), 2**28  # bytes of a manifest, and of a line
UNSEEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
class Wrong(Exception): pass  # the file or line that is wrong, and what is wrong with it
def need(ok, where, what):
    if not ok:
        raise Wrong(where, what)
def unbase64(text, size):  # None unless it is the one form of so many bytes
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if len(raw) == size and base64.b64encode(raw).decode() == text else None

# What a field may hold: a function that says yes, a dict of fields, or [what a list is of].
text, flag = lambda v: type(v) is str, lambda v: type(v) is bool
number = lambda v: type(v) is int and 0 <= v < 2**53
maybe = lambda rule: lambda v: v is None or rule(v)
key32 = lambda v: text(v) and unbase64(v, 32)
name = lambda v: text(v) and re.fullmatch(r"(?!\.)[A-Za-z0-9._@-]{1,255}", v) and v not in ("manifest.json", "manifest.sig")
instant = lambda v: text(v) and re.fullmatch("[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}Z", v) and datetime.datetime.fromisoformat(v[:-1])
sha256, ident = (lambda v, digits=digits: text(v) and re.fullmatch("[0-9a-f]{%d}" % digits, v) for digits in (64, 32))
ARCHIVE, by_status = {"name": text, "description": text, "rows": number}, {s: number for s in STATUS}
FIELDS = {
    "format": lambda v: v == "archivolt-export/1", "tool": {"name": text, "version": text},
    "as_of": maybe(instant), "case": maybe(text), "reason": maybe(text), "operator": maybe(text),
    "archives": [lambda v: fits(v, ARCHIVE) or fits(v, dict(ARCHIVE, ledger={"archive": ident, "checkpoint": maybe(text)}))],
    "filter": {"users": [text], "with": [text], "rooms": [text], "since": maybe(text), "until": maybe(text),
               "words": [text], "fast": flag, "rows": flag},
    "time_zone": text, "counts": {"rows": by_status, "messages": maybe(number), "unreadable": maybe(number), "copies": maybe(number),
        "replays": maybe(number), "signals": maybe(number), "errors": maybe(number), "undated": number},
    "keys": [{"fingerprint": text, "rows": number}], "files": [{"name": name, "bytes": number, "sha256": sha256}],
    "records": {"count": number, "status": by_status, "root": key32}, "signer": maybe(key32)}
def fits(value, rule):
    if type(rule) is dict:
        return type(value) is dict and list(value) == list(rule) and all(fits(value[k], rule[k]) for k in rule)
    if type(rule) is list:
        return type(value) is list and all(fits(v, rule[0]) for v in value)
    return rule(value)
def parse_manifest(raw):
    try:
        m = json.loads(raw.decode("utf-8"))
        form = UNSEEN.sub(lambda c: "\\u%04x" % ord(c[0]), json.dumps(m, indent=2, ensure_ascii=False)) + "\n"
        need(fits(m, FIELDS) and form.encode("utf-8") == raw, "manifest.json", "this is no manifest")
    except (ValueError, RecursionError):
        raise Wrong("manifest.json", "this is no manifest") from None
    names, r, ledgers = [f["name"] for f in m["files"]], m["records"], {"ledger" in a for a in m["archives"]} or {False}
    need(names == sorted(set(names)) and "messages.jsonl" in names and sum(r["status"].values()) == r["count"] and ledgers == {"ledger.jsonl" in names},
         "manifest.json", "its files or records do not fit together")
    return m
def open_file(folder, file):
    path = os.path.join(folder, file)
    need(os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode), file, "this file is missing, or no ordinary file")
    return open(path, "rb")
def read_small(folder, file, most):
    with open_file(folder, file) as f:
        raw = f.read(most + 1)
    need(len(raw) <= most, file, "this is too large")
    return raw

def check_signature(folder, raw, signer, trusted):
    sig = "manifest.sig"
    if signer is None:
        need(not os.path.lexists(os.path.join(folder, sig)), sig, "there is a signature, and no signer in the manifest")
        need(not trusted, "manifest.json", "this export is not signed")
        return "intact as the manifest says; not signed: anybody could have made it"
    lines = read_small(folder, sig, 4096).decode("latin-1").split("\n")
    need(len(lines) == 4 and lines[0] == "archivolt-signature-v1" and lines[3] == "", sig, "this is no signature")
    key, signature = unbase64(lines[1], 32), unbase64(lines[2], 64)
    need(key and signature and lines[1] == signer, sig, "this is no signature of the signer whom the manifest names")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, b"archivolt-manifest-v1\n" + raw)
    except (InvalidSignature, ValueError):
        raise Wrong(sig, "the signature does not fit manifest.json") from None
    need(not trusted or key in trusted, sig, "the signer is none of those who are trusted")
    return "intact since signing; signer " + ("trusted" if trusted else "not checked")
def check_file(folder, f):
    digest, size = hashlib.sha256(), 0
    with open_file(folder, f["name"]) as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            size += digest.update(block) or len(block)
    need(size == f["bytes"] and digest.hexdigest() == f["sha256"], f["name"], "this file was changed: its size or hash is another")
def status_of(line):  # of a flat object with one member "status"; KeyError and ValueError otherwise
    pairs = json.loads(line.decode("utf-8"), object_pairs_hook=tuple, parse_constant={}.__getitem__, parse_int=len, parse_float=len)
    flat = lambda v: type(v) is not tuple and (type(v) is not list or all(type(t) is str for t in v))
    found = [v for k, v in pairs if k == "status"] if type(pairs) is tuple and all(flat(v) for _, v in pairs) else []
    return STATUS[STATUS.index(found[0] if len(found) == 1 else None)]

def check_records(folder, want):
    counts, count, roots = dict.fromkeys(STATUS, 0), 0, []  # roots of complete subtrees, largest first
    node = lambda a, b: hashlib.sha256(b"\x01" + a + b).digest()
    with open_file(folder, "messages.jsonl") as file:
        for line in iter(lambda: file.readline(LARGEST + 1), b""):
            try:
                need(len(line) <= LARGEST and line[-1:] == b"\n", "messages.jsonl:%d" % (count + 1), "this line has no end")
                counts[status_of(line[:-1])] += 1
            except (ValueError, KeyError, RecursionError):
                raise Wrong("messages.jsonl:%d" % (count + 1), "this line is no record") from None
            count = n = count + 1
            leaf = hashlib.sha256(b"\x00" + line[:-1]).digest()
            while n % 2 == 0:
                leaf, n = node(roots.pop(), leaf), n // 2
            roots.append(leaf)
    root = roots.pop() if roots else hashlib.sha256().digest()
    while roots:
        root = node(roots.pop(), root)
    need((count, counts, base64.b64encode(root).decode()) == (want["count"], want["status"], want["root"]),
         "messages.jsonl", "the records are not those of the manifest")
def signer(value):
    if not value.startswith("ed25519:"):
        with open(value, encoding="utf-8") as f:
            value = "".join(line[10:].strip() for line in f if line.startswith("verifier: "))
    need(value.startswith("ed25519:") and unbase64(value[8:], 32), "--signer", "this is no verifier")
    return unbase64(value[8:], 32)
def verify(folder, trusted):
    entries = sorted(os.listdir(os.fsencode(folder)))
    raw = read_small(folder, "manifest.json", LARGEST)
    m = parse_manifest(raw)
    words = check_signature(folder, raw, m["signer"], trusted)
    for f in m["files"]:
        check_file(folder, f)
    listed = {f["name"].encode() for f in m["files"]} | {b"manifest.json", b"manifest.sig"}
    for entry in entries:
        need(entry in listed, os.fsdecode(entry), "this is not part of the export")
    check_records(folder, m["records"])
    return words

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--signer", action="append", default=[], help="verifier file, or ed25519: and Base64; repeatable")
    args = parser.parse_args()
    try:
        args.signer = [signer(s) for s in args.signer]
    except Wrong as e:
        parser.error(e.args[1])
    try:
        print("%s: %s" % (ascii(args.folder)[1:-1], verify(args.folder, args.signer)))
    except Wrong as e:
        sys.exit(sys.stderr.write("%s: %s\n" % (ascii(e.args[0])[1:-1], e.args[1])) and 13)
