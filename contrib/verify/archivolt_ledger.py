#!/usr/bin/env python3
"""Verifies ledger.jsonl in an export of Archivolt: that every record of messages.jsonl
stands in the signed ledger of its archive, and holds the text that the ledger has a
commitment to (docs/format/manifest.md of the project). Run archivolt_verify.py first:
it shows that the files are those of the manifest.

Needs Python 3.8 and the package cryptography (Debian: python3-cryptography).
Exit codes: 0 proven as far as is said, 13 something is wrong, 1 the folder cannot be read.
"""
import argparse, base64, collections, hashlib, hmac, json, os, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

class Wrong(Exception): pass
def need(ok, what):
    if not ok:
        raise Wrong(what)
sha256 = lambda b: hashlib.sha256(b).digest()
unbase64 = lambda text: base64.b64decode(text, validate=True)

def open_checkpoint(text, archive, verifiers):  # size and root, and whether one of the verifiers has signed it
    body, _, signatures = text.partition("\n\n")
    origin, size, root, _ = body.split("\n")
    need(origin == "archivolt/" + archive, "the checkpoint is of another archive")
    signed = False
    for v in verifiers:
        name, _, key = v.split("+", 2)
        if name != origin:
            continue
        key, fits = unbase64(key), False
        need(key[:1] == b"\x01" and len(key) == 33, "a verifier is none of Ed25519")
        for line in signatures.splitlines():
            dash, by, signature = line.split(" ")
            if by == name and unbase64(signature)[:4] == sha256(name.encode() + b"\n" + key)[:4]:
                try:
                    Ed25519PublicKey.from_public_bytes(key[1:]).verify(unbase64(signature)[4:], (body + "\n").encode())
                    fits = True
                except InvalidSignature:
                    pass
        need(fits, "the checkpoint is not signed by the verifier that is trusted")
        signed = True
    return int(size), unbase64(root), signed

def fields(data):  # of a ledger entry: each behind its length
    found = []
    while data:
        n = int.from_bytes(data[:4], "big")
        need(len(data) >= 4 + n, "an entry is cut off")
        found.append(data[4:4 + n])
        data = data[4 + n:]
    return found

def root_of(leaf, index, size, proof):  # RFC 9162 section 2.1.3.2
    need(0 <= index < size, "the entry lies behind the checkpoint")
    node, last, r, path = index, size - 1, leaf, list(proof)
    while last > 0:
        need(path, "a proof is too short")
        if node & 1 or node == last:
            while not node & 1:
                node, last = node >> 1, last >> 1
            r = sha256(b"\x01" + path.pop(0) + r)
        else:
            r = sha256(b"\x01" + r + path.pop(0))
        node, last = node >> 1, last >> 1
    need(not path, "a proof is too long")
    return r

def verify(folder, verifiers):
    with open(os.path.join(folder, "manifest.json"), "rb") as f:
        archives = json.loads(f.read())["archives"]
    need(archives and all("ledger" in a for a in archives), "manifest.json: this is no export of an archive of archivoltd")
    ledgers = {a["ledger"]["archive"]: a["ledger"]["checkpoint"] for a in archives}
    names = {a["name"]: a["ledger"]["archive"] for a in archives}
    points = {i: text and open_checkpoint(text, i, verifiers) for i, text in ledgers.items()}
    counts, message, row, copies, seen, found = collections.Counter(), 0, "", 0, 0, True
    with open(os.path.join(folder, "messages.jsonl"), "rb") as messages, open(os.path.join(folder, "ledger.jsonl"), "rb") as evidence:
        for number, line in enumerate(evidence, 1):
            e, where = json.loads(line), "ledger.jsonl:%d: " % number
            if e["message"] != message:
                need(found and seen == copies, where + "message %d does not have the evidence for its rows" % message)
                need(e["message"] == message + 1, where + "a message is passed over")
                said = json.loads(messages.readline() or b"{}")
                need("row" in said, where + "there is no such message")
                message, row, copies, seen, found = message + 1, said["row"], said["copies"], 0, False
            entry = unbase64(e["entry"])
            f = fields(entry)
            need(len(f) == 10 and f[0] == b"archivolt ledger v1" and f[1].hex() in ledgers and f[2] == b"record", where + "this is no entry of a record")
            archive, seen = f[1].hex(), seen + 1
            name, _, at = row.rpartition(":")
            found = found or (names.get(name), at) == (archive, str(e["index"] + 1))
            counts["records"] += 1
            if e["proof"] is not None:
                size, root, _ = points[archive] or (0, b"", False)
                need(root_of(sha256(b"\x00" + entry), e["index"], size, map(unbase64, e["proof"])) == root, where + "the entry is not in the ledger of the checkpoint")
                counts["in the ledger"] += 1
            if e["key"] is not None or e["plain"] is not None:
                need(hmac.new(unbase64(e["key"]), unbase64(e["plain"]), "sha256").digest() == f[8], where + "the text is not the one that was committed to")
                counts["with the text committed to"] += 1
        need(found and seen == copies, "ledger.jsonl: message %d does not have the evidence for its rows" % message)
        need(not messages.readline(), "ledger.jsonl: there is no evidence for message %d" % (message + 1))
    signed = "checkpoint signer " + ("trusted" if all(p and p[2] for p in points.values()) else "not checked")
    return "; ".join(["%d %s" % (counts[k], k) for k in ("records", "in the ledger", "with the text committed to")] + [signed])

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--signer", action="append", default=[], help="checkpoint.pub of the archive's archivoltd; repeatable")
    args = parser.parse_args()
    try:
        print("%s: %s" % (ascii(args.folder)[1:-1], verify(args.folder, [open(s, encoding="utf-8").read().strip() for s in args.signer])))
    except Wrong as e:
        sys.exit(sys.stderr.write("%s\n" % ascii(e.args[0])[1:-1]) and 13)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        sys.exit(sys.stderr.write("the export is not in its form: %s\n" % type(e).__name__) and 13)
