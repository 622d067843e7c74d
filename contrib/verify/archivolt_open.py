#!/usr/bin/env python3
"""Opens the vectors of docs/format/envelope.md: from an officer's X25519 identity to the
message, and from the message to the signed checkpoint. Needs python3-cryptography."""
import base64, hashlib, hmac, json, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

b64 = lambda s: base64.b64decode(s + "=" * (-len(s) % 4), validate=True)
hkdf = lambda key, salt, info: HKDF(hashes.SHA256(), 32, salt, info).derive(key)
mac = lambda key, data: hmac.new(key, data, "sha256").digest()
sha256 = lambda data: hashlib.sha256(data).digest()
field = lambda b: len(b).to_bytes(4, "big") + b
number = lambda n: field(n.to_bytes(8, "big"))
def need(ok, what):
    if not ok:
        sys.exit("wrong: " + what)
def bech32(text):  # its bytes, without a look at the checksum (BIP 173)
    bits = "".join(format("qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(c), "05b") for c in text.lower().rpartition("1")[2][:-6])
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits) - 7, 8))
def age_decrypt(file, secret):  # one X25519 recipient, one chunk (age-encryption.org/v1)
    header, _, rest = file.partition(b"\n---")
    line, _, payload = rest.partition(b"\n")
    _, stanza, body = header.decode().split("\n")
    key, share = X25519PrivateKey.from_private_bytes(secret), b64(stanza.split(" ")[2])
    wrap = hkdf(key.exchange(X25519PublicKey.from_public_bytes(share)), share + key.public_key().public_bytes_raw(), b"age-encryption.org/v1/X25519")
    file_key = ChaCha20Poly1305(wrap).decrypt(bytes(12), b64(body), None)
    need(mac(hkdf(file_key, b"", b"header"), header + b"\n---") == b64(line.decode()[1:]), "the age header")
    return ChaCha20Poly1305(hkdf(file_key, payload[:16], b"payload")).decrypt(bytes(11) + b"\x01", payload[16:], None)

v = json.load(open(sys.argv[1], encoding="utf-8"))
r, archive, entries, source = v["record"], bytes.fromhex(v["archive"]), [b64(e) for e in v["entries"]], v["record"]["source"].encode()
data_key = age_decrypt(b64(v["wrap"]), bech32(v["identity"]))
derive = lambda purpose: hkdf(data_key, archive + v["epoch"].to_bytes(8, "big"), b"archivolt v1 " + purpose)
need(derive(b"key commitment").hex() == v["key_commitment"], "the data key is another than the ledger speaks of")
tokens = b"".join(sorted(mac(derive(b"token"), p.encode())[:8] for p in r["participants"]))
clear = number(v["epoch"]) + field(source) + number(r["number"]) + number(r["time"]) + field(tokens)
sealed = b64(r["sealed"])
plain = AESGCM(derive(b"content")).decrypt(sealed[:12], sealed[12:], field(b"archivolt record v1") + field(archive) + clear)
need(plain[:2] == b"\x01" + r["direction"].encode(), "the version or direction")
commitment = mac(mac(derive(b"commitment"), field(source) + number(r["number"])), plain)
entry = field(b"archivolt ledger v1") + field(archive) + field(b"record") + clear + field(commitment) + field(sha256(sealed))
need(entry == entries[v["record_index"]], "the entry of the record")
def root(leaves):  # RFC 6962 section 2.1
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root(leaves[:k]) + root(leaves[k:]))
def path(m, d):  # section 2.1.1
    k = 1 << (len(d) - 1).bit_length() >> 1
    return [] if len(d) == 1 else path(m, d[:k]) + [root(d[k:])] if m < k else path(m - k, d[k:]) + [root(d[:k])]
leaves = [sha256(b"\x00" + e) for e in entries]
body, _, signature = v["checkpoint"].partition("\n\n")
origin, size, head, _ = body.split("\n")
need((origin, int(size), b64(head)) == ("archivolt/" + v["archive"], len(leaves), root(leaves)), "the checkpoint")
need([h.hex() for h in path(v["record_index"], leaves)] == v["record_proof"], "the inclusion proof")
Ed25519PublicKey.from_public_bytes(b64(v["verifier"].split("+", 2)[2])[1:]).verify(b64(signature.split()[2])[4:], (body + "\n").encode())
sys.stdout.buffer.write(plain[2:] + b"\n")
