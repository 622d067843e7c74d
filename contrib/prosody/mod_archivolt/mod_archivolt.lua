-- mod_archivolt: hands a copy of every message that passes this host to
-- Archivolt's capture daemon, an external component of the same server, and
-- keeps it in a queue on the disk until the daemon has acknowledged it.
-- For the administrator: docs/prosody.md. The protocol: docs/format/capture.md.

local async = require "util.async";
local jid_bare = require "util.jid".bare;
local jid_prep = require "util.jid".prep;
local jid_split = require "util.jid".split;
local lfs = require "lfs";
local new_id = require "util.uuid".generate;
local wall_clock = require "util.time".now;
local now = require "util.time".monotonic or wall_clock; -- seconds; for durations
local st = require "util.stanza";
local queue = module:require "queue";
local find_sync = module:require "sync".find;

local host = module.host;
local hosts = prosody.hosts;
local core_post_stanza = prosody.core_post_stanza;
local escape = st.xml_escape;

local function positive(name, default)
	local value = module:get_option_number(name, default);
	if value and value > 0 then return value; end
	module:log("error", "the option %s has to be a number above 0; %d is used", name, default);
	return default;
end

local component = jid_prep(module:get_option_string("archivolt_component"));
local max_copies = positive("archivolt_batch", 100);
local max_queue = positive("archivolt_max_queue", 1024 * 1024 * 1024);
local block = module:get_option_boolean("archivolt_block_unrecorded", false);
if block == nil then block = true; end -- not understood, which Prosody has logged: the safe side
local block_timeout = positive("archivolt_block_timeout", 30);
local queue_dir = module:get_option_path("archivolt_queue", "archivolt", "data");

local max_bytes = 512 * 1024; -- of text in one iq with several copies
local ack_timeout = 60; -- seconds
local max_pause = 60; -- seconds between attempts
local sync_time = 1; -- seconds until a copy is on the disk at the latest
local idle_time = 2; -- seconds until the file of an empty queue is emptied
local retry_time = 5; -- seconds between attempts to open the queue
local max_strikes = 10; -- streams that end over one and the same copy
local priority = 1000; -- of the hooks: before every other module

if component == host then
	error("mod_archivolt belongs to the hosts whose messages are archived, not to the component that archives them", 0);
end

local q; -- the queue; nil while it cannot be opened
local known_session; -- the last one that something was sent to
local sending; -- the iq that awaits its answer: id, session, batch
local scheduled, syncing, idling; -- pump, sync and the emptying of the file are about to run
local pause, paused = 0, false; -- after a refusal: seconds, and whether it lasts
local careful, strikes = 0, 0; -- copies to be sent one by one; streams lost over the present one
local progress = now(); -- when the daemon last took something, or had nothing to take
local obstacle; -- why it takes nothing, for the log
local held, first_held, last_held = {}, 1, 0; -- messages that wait for their copies, by number
local expiring; -- the timer of held runs
local passing; -- the held stanza that now goes on
local lost, unnumbered = 0, 0; -- copies since the last that was kept; those among them for which there was no queue

-- Logs an error of some kind at once, and then once a minute.
local alarms = {};
local function alarm(kind, ...)
	if alarms[kind] and now() - alarms[kind] < 60 then return; end
	alarms[kind] = now();
	module:log("error", ...);
end

--- Sending

-- The daemon's session, from mod_component's state.
local function daemon_session()
	local archive = component and hosts[component];
	local state = archive and archive.modules.component;
	if state and state.connected and state.session then return state.session; end
	if not component then return nil, "the option archivolt_component is missing"; end
	if not state then return nil, "the configuration has no Component \"" .. component .. "\""; end
	return nil, "the component " .. component .. " is not connected";
end

local pump;
local function schedule()
	if scheduled then return; end
	scheduled = true;
	module:add_timer(0, function ()
		scheduled = false;
		pump();
	end);
end

local function try_later(why)
	obstacle = why;
	pause = math.min(max_pause, math.max(1, pause * 2));
	paused = true;
	module:add_timer(pause, function ()
		paused = false;
		pump();
	end);
end

-- Brings the queue to the disk: true, or nil and why not.
local function sync_queue()
	local ok, err = q:sync();
	if ok then return true; end
	local why = "the queue cannot be brought to the disk: " .. tostring(err);
	alarm("sync", "%s", why);
	return nil, why;
end

-- A copy is brought to the disk before it is sent; this is for when nothing is.
local function sync_soon()
	if syncing then return; end
	syncing = true;
	module:add_timer(sync_time, function ()
		syncing = false;
		sync_queue();
	end);
end

-- Lets held messages up to a number go on, or back to their senders.
local function settle(up_to, recorded)
	while first_held <= last_held and held[first_held].number <= up_to do
		local message = held[first_held];
		held[first_held] = nil;
		first_held = first_held + 1;
		message.recorded = recorded;
		message.settle();
	end
end

local function settle_batch(batch, recorded)
	progress = now();
	if batch.source == q.source then -- otherwise from before a restart: nobody waits
		settle(batch.copies[#batch.copies].number, recorded);
	end
	if not idling then
		idling = true;
		module:add_timer(idle_time, function ()
			idling = false;
			q:compact();
		end);
	end
end

-- The daemon will not have this one copy, or its stream ends over it: others
-- must not wait behind it.
local function set_aside(batch, why)
	local number = batch.copies[1].number;
	local path, err = q:set_aside(batch);
	if not path then
		try_later("a copy that was refused cannot be set aside: " .. tostring(err));
		return;
	end
	module:log("error", "copy %d of queue %s is not in the archive: %s; it is kept in %s", number, batch.source, why, path);
	careful, strikes = math.max(0, careful - 1), 0;
	settle_batch(batch, false);
end

local function archive_iq(id, batch)
	local parts = { ("<iq type='set' id='%s' from='%s' to='%s'><archive xmlns='urn:archivolt:capture:1' source='%s'>")
		:format(id, escape(host), escape(component), batch.source) };
	for _, copy in ipairs(batch.copies) do
		parts[#parts + 1] = ("<copy number='%d' time='%s' direction='%s'><forwarded xmlns='urn:xmpp:forward:0'>")
			:format(copy.number, copy.time, copy.direction);
		parts[#parts + 1] = copy.text;
		parts[#parts + 1] = "</forwarded></copy>";
	end
	parts[#parts + 1] = "</archive></iq>";
	return table.concat(parts);
end

-- Sends the oldest copies, unless some are under way. There is only ever one
-- iq: a later one that the daemon accepts after refusing this one would make it
-- take the refused copies, when they come again, for ones it has.
function pump()
	if not q or q:is_empty() then return; end
	local session, why = daemon_session();
	if not session then
		obstacle = why;
		return;
	end
	if paused or sending and sending.session == session then return; end
	local synced, sync_err = sync_queue();
	if not synced then return try_later(sync_err); end
	local batch, read_err = q:peek(careful > 0 and 1 or max_copies, max_bytes);
	if not batch then
		return read_err and try_later("the queue cannot be read: " .. tostring(read_err));
	end
	if strikes >= max_strikes and #batch.copies == 1 then
		set_aside(batch, "the daemon's stream ended each time it was sent");
		return schedule();
	end
	if session ~= known_session then
		known_session = session;
		session.conn:setoption("tcp-nodelay", true); -- or each iq waits 40 ms for the kernel at the other end
	end
	sending = { id = new_id(); session = session; batch = batch; since = now() };
	session.send(archive_iq(sending.id, batch)); -- not as a stanza: its bytes stay as they are in the queue
end

local function on_answer(event)
	local stanza = event.stanza;
	if not sending or stanza.attr.id ~= sending.id or event.origin ~= sending.session then return; end
	local batch = sending.batch;
	local kind = stanza.attr.type;
	if kind ~= "result" and kind ~= "error" then return; end
	sending = nil;
	if kind == "result" then
		q:drop(batch);
		pause, strikes, obstacle = 0, 0, nil;
		careful = math.max(0, careful - 1);
		settle_batch(batch, true);
		pump();
		return true;
	end
	local error_type, condition, text = stanza:get_error();
	local why = ("the daemon answers %s/%s%s"):format(error_type, condition, text and " (" .. text .. ")" or "");
	if condition ~= "bad-request" then
		try_later(why);
	elseif #batch.copies > 1 then
		careful = #batch.copies; -- to find which one it is
		schedule();
	else
		set_aside(batch, why);
		schedule();
	end
	return true;
end

local function on_connect()
	sending, pause, paused = nil, 0, false;
	schedule();
end

local function on_disconnect(event)
	if not sending then return; end
	-- Where one of several copies is what ended the stream, the others pass.
	local copies = #sending.batch.copies;
	careful = math.max(careful, copies);
	strikes = copies == 1 and event.reason == "stream error" and strikes + 1 or 0;
	sending = nil;
end

--- Recording

local function timestamp()
	local t = wall_clock();
	local seconds = math.floor(t);
	return ("%s.%03dZ"):format(os.date("!%Y-%m-%dT%H:%M:%S", seconds), math.floor((t - seconds) * 1000));
end

-- The stanza as text that can stand anywhere: with its namespace, and with the
-- address of a message to oneself, which Prosody leaves out.
local function serialize(stanza)
	local copy = st.clone(stanza);
	copy.attr.xmlns = "jabber:client";
	copy.attr.to = copy.attr.to or jid_bare(copy.attr.from);
	return tostring(copy);
end

-- Sends a message back that could not be recorded. The condition is none for
-- which a room removes an occupant.
local function refuse(origin, stanza, why)
	alarm("refused", "messages are refused because they cannot be recorded: %s", why);
	if stanza.attr.type ~= "error" and origin.send then
		origin.send(st.error_reply(stanza, "wait", "resource-constraint",
			"This message was not delivered because it could not be recorded. Please send it again later."));
	end
	return true;
end

local go_on = async.runner(function (message)
	passing = message.stanza;
	core_post_stanza(message.origin, message.stanza, message.preevents);
end, { error = function (_, err)
	module:log("error", "a message that was held back could not be delivered: %s", err);
end });

local function expire()
	while first_held <= last_held and held[first_held].expires <= now() do
		settle(held[first_held].number, false);
	end
	if first_held <= last_held then
		return math.max(0.01, held[first_held].expires - now());
	end
	expiring = false;
end

-- While a session waits, nothing is read from its socket; and net.server_epoll
-- (0.12.3) forgets what its buffer held by then, until the socket has more. So
-- it is reminded when the session is ready again, which is a tick from now.
local function read_on(session)
	module:add_timer(0, function ()
		module:add_timer(0, function ()
			local conn, thread = session.conn, session.thread;
			if conn and conn.onreadable and thread and thread.state == "ready"
				and conn.conn and conn.conn:dirty() and not conn._pausefor then
				conn:onreadable();
			end
		end);
	end);
end

local function unacknowledged()
	return ("no acknowledgement in %g s: %s"):format(block_timeout, obstacle or "the daemon is busy");
end

-- Holds a message until its copy is acknowledged. A client's or a server's
-- session waits, and with it all that it has sent since. Where there is no such
-- session, or a room is half way through its occupants, the message is taken
-- out and put in again.
local function hold(event, number, preevents)
	local origin, stanza = event.origin, event.stanza;
	local message = { number = number; expires = now() + block_timeout };
	last_held = last_held + 1;
	held[last_held] = message;
	if not expiring then
		expiring = true;
		module:add_timer(block_timeout, expire);
	end
	local own = origin.type == "c2s" and stanza.attr.from == origin.full_jid -- others may come from the middle of a loop
		or origin.type == "s2sin" or origin.type == "s2sout";
	if own and async.ready() then
		local wait, done = async.waiter();
		message.settle = done;
		wait();
		read_on(origin);
		if not message.recorded then return refuse(origin, stanza, unacknowledged()); end
		if preevents and origin.destroyed then -- the session ended meanwhile; its message counts
			stanza.attr.to = stanza.attr.to or jid_bare(stanza.attr.from);
			core_post_stanza(hosts[host], stanza);
			return true;
		end
		return nil;
	end
	message.origin, message.stanza, message.preevents = origin, st.clone(stanza), preevents;
	function message.settle()
		if message.recorded then
			go_on:run(message);
		else
			refuse(origin, message.stanza, unacknowledged());
		end
	end
	return true;
end

-- Whether the daemon has taken nothing for so long that nobody need wait.
local function stalled()
	return q and not q:is_empty() and now() - progress > block_timeout;
end

local function record(event, direction, preevents)
	local origin, stanza = event.origin, event.stanza;
	if stanza == passing then
		passing = nil;
		return;
	end
	local _, to_host = jid_split(stanza.attr.to);
	if to_host and to_host == component then return; end
	if block and stalled() then return refuse(origin, stanza, unacknowledged()); end
	if q and q:is_empty() then progress = now(); end
	local number, err, used_up;
	if q then
		number, err, used_up = q:append(timestamp(), direction, serialize(stanza));
	end
	schedule();
	err = err or "the queue cannot be opened";
	if not number and block then return refuse(origin, stanza, err); end
	if not number then
		lost = lost + 1;
		if q then q:lose(used_up and 0 or 1, timestamp(), now()); else unnumbered = unnumbered + 1; end
		alarm("lost", "copies are lost, %d so far, and missing from the archive: %s", lost, err);
		return;
	end
	sync_soon();
	if lost > 0 then
		module:log("error", "the queue takes copies again, from number %d on; %d were lost", number, lost);
		lost, alarms.lost = 0, nil;
	end
	if block then return hold(event, number, preevents); end
end

local function incoming(event) return record(event, "in"); end
local function outgoing(event) return record(event, "out", true); end

for _, kind in ipairs { "bare", "full", "host" } do
	module:hook("pre-message/" .. kind, outgoing, priority);
	module:hook("message/" .. kind, incoming, priority);
end
module:hook("iq/host", on_answer, priority);

-- The component may come up after this host.
local function watch_component()
	local context = module:context(component);
	context:hook("component-authenticated", on_connect);
	context:hook("component-disconnected", on_disconnect);
end
if component and hosts[component] then watch_component(); end
module:hook_global("host-activated", function (activated)
	if activated == component then watch_component(); end
end);

--- The queue's life

local dir = queue_dir .. "/" .. host:gsub("[^%w.-]", function (c) return ("%%%02x"):format(c:byte()); end);
local sync, sync_name = find_sync();

local function open_queue()
	local err;
	lfs.mkdir(queue_dir);
	q, err = queue.open({ dir = dir; max_bytes = max_queue; sync = sync;
		log = function (...) module:log(...); end });
	if not q then
		alarm("open", "the queue in %s cannot be opened, and nothing is recorded: %s", dir, err);
		return retry_time;
	end
	if unnumbered > 0 then
		q:lose(unnumbered, timestamp(), now());
		unnumbered = 0;
	end
	module:log("info", "copies go to %s through the queue %s in %s, written to the disk by %s; %d bytes wait in it",
		component, q.source, dir, sync_name or "nobody", q:waiting());
	if not sync then
		module:log("warn", "neither lua-posix nor lua-luv nor coreutils' sync is there: a power cut may lose copies that wait");
	end
	progress = now();
	schedule();
end
if open_queue() then module:add_timer(retry_time, open_queue); end

module:add_timer(10, function ()
	if sending and now() - sending.since > ack_timeout then
		-- Sent again on the same stream it would lie behind what was sent before.
		local session = sending.session;
		alarm("answer", "the daemon has not acknowledged a parcel for %d s: its connection is closed", ack_timeout);
		sending, obstacle = nil, "the daemon does not answer";
		if session == daemon_session() then
			session:close({ condition = "connection-timeout"; text = "no answer to a parcel of copies" });
		end
	end
	if q and not q:is_empty() and now() - progress > 60 then
		alarm("waiting", "%d bytes of copies wait for the capture daemon, which has taken none for %d s: %s",
			q:waiting(), math.floor(now() - progress), obstacle or "it has not answered yet");
	end
	return 10;
end);

-- What is held back goes to its sender while there is a session for it.
module:hook_global("server-stopping", function ()
	obstacle = "the server is stopping";
	settle(math.huge, false);
end, priority);

function module.unload()
	settle(math.huge, false);
	if q then q:close(); end
end
