-- The queue: numbered copies in files, kept until they are acknowledged.
--
-- A folder holds segments NNNNNNNNNN.queue, read from the lowest to the
-- highest; only the highest is written to. A segment is
--
--	archivolt-queue 1 SOURCE NEXT CHECK\n          NEXT: no copy in it has a lower number
--	NUMBER TIME DIRECTION LENGTH SUM CHECK\n       SUM of the text, CHECK of the line before it:
--	TEXT\n                                         16 digits of SHA-256 each
--
-- and so on, TEXT being LENGTH bytes. DIRECTION is "in" or "out", or "lost"
-- without text: the copies from the one before it up to NUMBER could not be
-- kept. Whenever numbers are in doubt (no segment, a damaged one, a disk that
-- never confirmed), new copies get a new SOURCE, so that a number never stands
-- for two messages.

local lfs = require "lfs";
local sha256 = require "util.hashes".sha256;
local new_id = require "util.uuid".generate;
local have_pposix, pposix = pcall(require, "util.pposix");

local segment_bytes = 4 * 1024 * 1024; -- of one file
local idle_bytes = 256 * 1024; -- so much may stay in a file whose copies are all acknowledged

local queue = {};
queue.__index = queue;

-- Runs f so that what it creates is for the owner alone.
local function private(f, ...)
	if not have_pposix then return f(...); end
	local before = pposix.umask("077");
	local a, b = f(...);
	pposix.umask(before);
	return a, b;
end

local function sum(text)
	return sha256(text, true):sub(1, 16);
end

local function encode(number, time, direction, text)
	local line = ("%d %s %s %d %s"):format(number, time, direction, #text, sum(text));
	return line .. " " .. sum(line) .. "\n" .. text .. "\n";
end

-- Reads the entry at the file's position, which has limit bytes behind it.
-- Gives it and its length; or nil and "end", "damaged", or "torn" (the entry
-- has more bytes than there are), with its number where that can be read.
local function decode(file, limit)
	local line = limit > 0 and file:read("*l");
	if not line then return nil, "end"; end
	if #line >= limit then return nil, "torn"; end
	local head, number, time, direction, length, text_sum, line_sum =
		line:match("^((%d+) (%S+) (%l+) (%d+) (%x+)) (%x+)$");
	if not head or sum(head) ~= line_sum then return nil, "damaged"; end
	number, length = tonumber(number), tonumber(length);
	if #line + length + 2 > limit then return nil, "torn", number; end
	local text = length > 0 and file:read(length) or "";
	if #text ~= length or file:read(1) ~= "\n" or sum(text) ~= text_sum then return nil, "damaged"; end
	return { number = number; time = time; direction = direction; text = text }, #line + length + 2;
end

local function encode_header(source, number)
	local line = ("archivolt-queue 1 %s %d"):format(source, number);
	return line .. " " .. sum(line) .. "\n";
end

-- Reads a segment's header: source, next number, and its length in bytes; or
-- nil and "torn" or "damaged".
local function decode_header(file)
	local line = file:read("*l") or "";
	if file:seek() <= #line then return nil, "torn"; end -- no newline
	local head, source, number, line_sum = line:match("^(archivolt%-queue 1 ([%w._:/-]+) (%d+)) (%x+)$");
	if not head or #source > 128 or sum(head) ~= line_sum then return nil, "damaged"; end
	return source, tonumber(number), #line + 1;
end

-- Finds source and next number behind a segment. A torn entry takes its number
-- with it; behind a damaged one there is no telling.
local function continue(segment)
	local file = io.open(segment.path, "rb");
	if not file then return nil; end
	file:seek("set", segment.start);
	local following, limit = segment.first, segment.size - segment.start;
	while true do
		local entry, length, torn = decode(file, limit);
		if not entry then
			file:close();
			if length == "damaged" then return nil; end
			return segment.source, length == "torn" and (torn or following) + 1 or following;
		end
		following, limit = entry.number + 1, limit - length;
	end
end

-- Opens the queue in options.dir, making it if need be. Options: max_bytes of
-- what waits; sync as sync.lib.lua finds it, or nil; log(level, format, ...).
-- On failure nil and why.
function queue.open(options)
	local self = setmetatable({
		dir = options.dir; max_bytes = options.max_bytes; sync_path = options.sync; log = options.log;
		segment_bytes = math.min(segment_bytes, math.max(4096, math.floor(options.max_bytes / 4)));
		segments = {}; -- oldest first: seq, path, size, source, start
		stored = 0; -- bytes in all of them
		pos = 0; -- in the first of them; what lies before is acknowledged
		marked = -1; -- when a loss was last written down
	}, queue);
	private(lfs.mkdir, self.dir);
	local ok, iterator, state = pcall(lfs.dir, self.dir);
	if not ok then return nil, iterator; end
	local names = {};
	for name in iterator, state do
		if name:match("^%d+%.queue$") then names[#names + 1] = name; end
	end
	table.sort(names);
	local last; -- if it tells how numbering goes on
	for _, name in ipairs(names) do
		last = self:adopt(name, last);
		self.seq = tonumber(name:match("^%d+"));
	end
	self.seq = self.seq or 0;
	if last and self.sync_path then
		self.source, self.next = continue(last);
	end
	if not self.source then
		self.source, self.next = new_id(), 1;
	end
	-- Never into a file that may end within an entry.
	local rolled, err = self:roll();
	if not rolled then return nil, err; end
	self.pos = self.segments[1].start;
	self:skip();
	return self;
end

-- Takes a segment that was found, and gives the one behind which numbering goes
-- on. One whose header was never finished holds nothing, since nothing is
-- written before the header is on the disk; its predecessor is still there then.
function queue:adopt(name, predecessor)
	local path = self.dir .. "/" .. name;
	local source, number, start;
	local file, err = io.open(path, "rb");
	if file then
		source, number, start = decode_header(file);
		file:close();
	end
	if source then
		local size = lfs.attributes(path, "size");
		local segment = { path = path; size = size; source = source; start = start; first = number };
		table.insert(self.segments, segment);
		self.stored = self.stored + size;
		return segment;
	elseif number == "torn" then
		os.remove(path);
		return predecessor;
	end
	self:put_aside(path, number or err);
	return nil;
end

-- Gives a file that cannot be read a name under which it stays.
function queue:put_aside(path, problem)
	local aside = path .. ".damaged-" .. new_id(); -- never over an older one
	local ok, err = os.rename(path, aside);
	self.log("error", "copies in %s cannot be read (%s) and may be missing from the archive; the file is kept as %s%s",
		path, problem, aside, ok and "" or " (not renamed: " .. tostring(err) .. ")");
end

-- Begins a new segment. Once its header is on the disk, no lower number can come
-- again, whatever becomes of the segment before it.
function queue:roll()
	local seq = self.seq + 1;
	local path = ("%s/%010d.queue"):format(self.dir, seq);
	local header = encode_header(self.source, self.next);
	local file, err = private(io.open, path, "wb");
	if not file then return nil, err; end
	file:setvbuf("no");
	local ok;
	ok, err = file:write(header);
	if ok and self.sync_path then
		ok, err = self.sync_path(path);
		if ok then ok, err = self.sync_path(self.dir); end
	end
	if not ok then
		file:close();
		os.remove(path);
		return nil, err;
	end
	if self.sync_path and self.dirty then
		local before = self.segments[#self.segments].path;
		ok, err = self.sync_path(before);
		if not ok then
			self.log("error", "copies in %s may not survive a power cut: %s", before, err);
		end
	end
	if self.out then self.out:close(); end
	self.out, self.dirty, self.failed, self.seq = file, false, false, seq;
	table.insert(self.segments, { path = path; size = #header; source = self.source; start = #header });
	self.stored = self.stored + #header;
	return true;
end

-- Bytes that wait for their acknowledgement.
function queue:waiting()
	return self.stored - self.pos;
end

function queue:is_empty()
	return #self.segments == 1 and self.pos >= self.segments[1].size;
end

-- Writes an entry: true, or nil and why not; then it may be there all the same.
function queue:write(number, time, direction, text)
	local current = self.segments[#self.segments];
	if self.failed or current.size > current.start and current.size + #text > self.segment_bytes then
		local ok, err = self:roll();
		if not ok and self.failed then return nil, err; end
		current = self.segments[#self.segments];
	end
	local entry = encode(number, time, direction, text);
	self.dirty = true;
	local ok, err = self.out:write(entry);
	if not ok then
		self.failed = true;
		return nil, err;
	end
	current.size = current.size + #entry;
	self.stored = self.stored + #entry;
	return true;
end

-- Adds a copy and gives its number; it is in the file then, and on the disk
-- after sync. Otherwise nil, why, and whether a number was used up.
function queue:append(time, direction, text)
	if self:waiting() + #text > self.max_bytes then return nil, "the queue is full"; end
	local number = self.next;
	local ok, err = self:write(number, time, direction, text);
	self.next = number + 1;
	if not ok then return nil, err, true; end
	return number;
end

-- Uses up numbers for copies that were not kept, so that the receiver sees the
-- gap. That is written down at once, but at most once a second.
function queue:lose(count, time, now)
	self.next = self.next + count;
	if now - self.marked >= 1 then
		self.marked = now;
		self:write(self.next - 1, time, "lost", "");
	end
end

-- Brings what was appended to the disk: true, or nil and why not.
function queue:sync()
	if not self.sync_path or not self.dirty then return true; end
	local ok, err = self.sync_path(self.segments[#self.segments].path);
	if ok then
		self.dirty = false;
		return true;
	end
	-- After a failed fsync the kernel may have forgotten the data. A new file
	-- makes at least the numbers durable, and what can be read is sent.
	self.failed = true;
	return self:roll(), err;
end

-- Gives the oldest copies, at most max_copies with about max_bytes of text, all
-- from one source and with consecutive numbers; nil when there is none.
function queue:peek(max_copies, max_bytes)
	while true do
		local head, copies, bytes, pos, problem = self.segments[1], {}, 0, self.pos, nil;
		local file, err = io.open(head.path, "rb");
		if file then
			file:seek("set", pos);
		elseif lfs.attributes(head.path, "mode") then
			return nil, err;
		else
			problem = "gone";
		end
		while not problem and #copies < max_copies and pos < head.size do
			local entry, length = decode(file, head.size - pos);
			if not entry then
				problem = length == "torn" and length or "damaged";
				break;
			end
			if entry.direction ~= "lost" then
				local before = copies[#copies];
				if before and (entry.number ~= before.number + 1 or bytes + #entry.text > max_bytes) then break; end
				copies[#copies + 1] = entry;
				bytes = bytes + #entry.text;
			end
			pos = pos + length;
		end
		if file then file:close(); end
		if copies[1] then
			return { source = head.source; copies = copies; pos = pos };
		end
		self.pos = pos;
		if #self.segments == 1 then
			if not problem then return nil; end
			local ok, roll_err = self:roll();
			if not ok then return nil, roll_err; end
		end
		if problem == "torn" then
			self.log("warn", "the last copy in %s was not written to its end and is skipped", head.path);
		end
		self:next_segment(problem ~= "torn" and problem);
	end
end

-- Goes on with the second segment; the first is deleted, or kept if damaged.
function queue:next_segment(problem)
	local head = table.remove(self.segments, 1);
	self.stored = self.stored - head.size;
	self.pos = self.segments[1].start;
	if problem then
		self:put_aside(head.path, problem);
	else
		os.remove(head.path);
	end
end

-- Goes on behind segments that are done.
function queue:skip()
	while #self.segments > 1 and self.pos >= self.segments[1].size do
		self:next_segment();
	end
end

-- Forgets what peek gave: it is acknowledged.
function queue:drop(batch)
	self.pos = batch.pos;
	self:skip();
	if self.segments[1].size > idle_bytes then self:compact(); end
end

-- Empties the file of a queue that is empty.
function queue:compact()
	local head = self.segments[1];
	if self:is_empty() and head.size > head.start and self:roll() then
		self:next_segment();
	end
end

-- Keeps what peek gave in the file "rejected" instead of sending it, and
-- forgets it then. Gives the file's path, or nil and why not.
function queue:set_aside(batch)
	local path = self.dir .. "/rejected";
	local file, err = private(io.open, path, "ab");
	if not file then return nil, err; end
	file:setvbuf("no");
	local parts = { encode_header(batch.source, batch.copies[1].number) };
	for _, c in ipairs(batch.copies) do
		parts[#parts + 1] = encode(c.number, c.time, c.direction, c.text);
	end
	local ok;
	ok, err = file:write(table.concat(parts));
	file:close();
	if ok and self.sync_path then ok, err = self.sync_path(path); end
	if not ok then return nil, err; end
	self:drop(batch);
	return path;
end

function queue:close()
	self:sync();
	if self.out then self.out:close(); end
	self.out = nil;
end

return queue;
