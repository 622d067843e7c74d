"""Reads mail messages with Python's standard library and prints what it found
as JSON: an opinion that shares no code with the writer."""
import email
import email.header
import email.policy
import email.utils
import io
import json
import sys
import zipfile


def mailboxes(m, name):
    """Display names and addresses. Names are decoded by email.header: the newer
    parser of Python before 3.12.4 puts blanks between encoded words of a phrase."""
    if m[name] is None:
        return []
    raw = next(v for k, v in m.raw_items() if k == name)
    names = [email.header.make_header(email.header.decode_header(n))
             for n, _ in email.utils.getaddresses(["".join(str(raw).splitlines())])]
    addresses = m[name].addresses
    assert len(names) == len(addresses), (names, addresses)
    return [[str(n), a.username + "@" + a.domain] for n, a in zip(names, addresses)]


found = []
for path in sys.argv[1:]:
    with open(path, "rb") as f:
        raw = f.read()
    m = email.message_from_bytes(raw, policy=email.policy.default)
    defects = [repr(d) for part in m.walk() for d in part.defects]
    defects += [name + ": " + repr(d) for name, v in m.items() for d in v.defects]
    rest = raw.replace(b"\r\n", b"")
    parts = []
    for part in m.walk():
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        p = {
            "type": part.get_content_type(),
            "file": part.get_filename() or "",
            "disposition": part.get_content_disposition() or "",
            "encoding": str(part["content-transfer-encoding"]),
            "text": "",
            "zip": [],
        }
        if part.get_content_maintype() == "text":
            p["text"] = payload.decode(part.get_content_charset())
        else:
            z = zipfile.ZipFile(io.BytesIO(payload))
            assert z.testzip() is None
            p["zip"] = z.namelist()
            p["text"] = z.read("rsmf_manifest.json").decode("utf-8")
            json.loads(p["text"])
        parts.append(p)
    found.append({
        "headers": [[name, str(v)] for name, v in m.items()],
        "from": mailboxes(m, "From"),
        "to": mailboxes(m, "To"),
        "type": m.get_content_type(),
        "defects": defects,
        "longest": max(len(line) for line in raw.split(b"\r\n")),
        "bare": rest.count(b"\n") + rest.count(b"\r"),
        "ascii": raw.isascii(),
        "parts": parts,
    })
json.dump(found, sys.stdout)
