"""An XMPP client of other people's making (slixmpp), driven by a test.

Reads one JSON object a line from standard input and answers each with one
line: {"ok": true, ...} or {"error": "..."}. Ends with its input.
"""
import asyncio
import json
import os
import sys
import xml.etree.ElementTree as ET

import slixmpp

PLUGINS = ("xep_0030", "xep_0045", "xep_0066", "xep_0071", "xep_0085", "xep_0199", "xep_0203",
           "xep_0280", "xep_0297", "xep_0308", "xep_0333", "xep_0334", "xep_0359", "xep_0424",
           "xep_0444", "xep_0461")


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        for plugin in PLUGINS:
            self.register_plugin(plugin)
        # A receipt is sent when a test says so.
        self.register_plugin("xep_0184", {"auto_ack": False, "auto_request": False})
        self["feature_mechanisms"].unencrypted_plain = True
        self.received = []  # (stanza, its XML)
        self.change = asyncio.Event()
        self.ready = asyncio.get_running_loop().create_future()
        self.register_handler(slixmpp.Callback("every message", slixmpp.MatchXPath("{jabber:client}message"), self.on_message))
        self.add_event_handler("session_start", self.on_start)
        for event in ("failed_auth", "failed_all_auth", "connection_failed", "disconnected"):
            self.add_event_handler(event, lambda what, event=event: self.fail(event, what))

    def on_start(self, _):
        self.send_presence()
        if not self.ready.done():
            self.ready.set_result(None)

    def fail(self, event, what):
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(f"{event}: {what}"))

    def on_message(self, message):
        self.received.append((message, ET.tostring(message.xml, encoding="unicode")))
        self.change.set()

    def matches(self, c):
        found = []
        for message, text in self.received:
            if c.get("id") and message["id"] != c["id"]:
                continue
            if c.get("body") and message["body"] != c["body"]:
                continue
            if c.get("prefix") and not message["body"].startswith(c["prefix"]):
                continue
            if c.get("type") and message["type"] != c["type"]:
                continue
            if c.get("contains") and c["contains"] not in text:
                continue
            found.append(text)
        return found


def build(client, c):
    m = client.make_message(mto=c["to"], mbody=c.get("body"), mtype=c.get("type") or "chat", msubject=c.get("subject"))
    m["id"] = c.get("id") or client.new_id()
    if c.get("thread"):
        m["thread"] = c["thread"]
    if c.get("state"):
        m["chat_state"] = c["state"]
    if c.get("ask_receipt"):
        m["request_receipt"] = True
    if c.get("receipt"):
        m["receipt"] = c["receipt"]
    if c.get("markable"):
        m.enable("markable")
    if c.get("marker"):
        m[c["marker"]]["id"] = c["marked"]
    if c.get("correct"):
        m["replace"]["id"] = c["correct"]
    if c.get("retract"):
        m["apply_to"]["id"] = c["retract"]
        m["apply_to"].enable("retract")
    if c.get("react_to"):
        client["xep_0444"].set_reactions(m, c["react_to"], c["reactions"])
    if c.get("reply_to"):
        m["reply"]["id"] = c["reply_to"]
        m["reply"]["to"] = c["to"]
    if c.get("xhtml"):
        m["html"]["body"] = c["xhtml"]
    if c.get("oob"):
        m["oob"]["url"] = c["oob"]
    for hint in c.get("hints") or ():
        m.enable(hint)
    if c.get("private"):
        m.enable("carbon_private")
    return m


async def written(client):
    """Waits until everything has left this process."""
    await client.waiting_queue.join()
    while client.transport and client.transport.get_write_buffer_size() > 0:
        await asyncio.sleep(0.01)


async def run(client, c):
    do = c["do"]
    if do == "send":
        m = build(client, c)
        m.send()
        await written(client)
        return {"id": m["id"]}
    if do == "raw":
        client.send_raw(c["xml"])
        await written(client)
    elif do == "flood":
        for n in range(c["count"]):
            client.make_message(mto=c["to"], mbody=f"{c['prefix']} {n}", mtype=c.get("type") or "chat").send()
            if n % 100 == 99:
                await asyncio.sleep(0)
        await written(client)
    elif do == "join":
        await client["xep_0045"].join_muc_wait(slixmpp.JID(c["room"]), c["nick"], timeout=30)
    elif do == "unlock":  # a new room of a server that asks its owner first
        form = await client["xep_0045"].get_room_config(slixmpp.JID(c["room"]))
        form["type"] = "submit"
        await client["xep_0045"].set_room_config(slixmpp.JID(c["room"]), form)
    elif do == "carbons":
        await client["xep_0280"].enable(timeout=30)
    elif do == "presence":
        client.send_presence(ptype=c.get("type") or None)
        await written(client)
    elif do == "wait":
        while True:
            client.change.clear()
            found = client.matches(c)
            if len(found) >= (c.get("count") or 1):
                return {"xml": found}
            await client.change.wait()
    elif do == "received":
        return {"xml": client.matches(c)}
    elif do == "disconnect":
        await client.disconnect(wait=5)
    else:
        raise ValueError("unknown command " + do)
    return {}


async def main():
    stdin = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    commands = asyncio.Queue()

    async def listen():
        while line := await stdin.readline():
            commands.put_nowait(line)
        os._exit(0)  # whatever is being waited for

    listening = asyncio.create_task(listen())
    client = None
    while not listening.done():
        try:
            c = json.loads(await commands.get())
            if c["do"] == "connect":
                client = Client(c["jid"], c["password"])
                client.stream_header = client.stream_header[:-1] + c["header"] + ">"
                client.connect((c["host"], c["port"]), force_starttls=False, disable_starttls=True)
                await asyncio.wait_for(client.ready, 60)
                answer = {"jid": client.boundjid.full}
            else:
                answer = await run(client, c)
            answer["ok"] = True
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
