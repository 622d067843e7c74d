-- Tests of the queue without a server: lua5.4 queue_test.lua MODULE_FOLDER
-- TEMPORARY_FOLDER, with Prosody's own modules on the path.
local folder, temporary = arg[1], arg[2];
local lfs = require "lfs";
local queue = dofile(folder .. "/queue.lib.lua");
local sync_lib = dofile(folder .. "/sync.lib.lua");

local dirs = 0;
local function new_dir()
	dirs = dirs + 1;
	return ("%s/%d"):format(temporary, dirs);
end

local logged = {};
local function log(level, format, ...)
	logged[#logged + 1] = level .. ": " .. format:format(...);
end

local function synced() return true; end

local function open(dir, options)
	options = options or {};
	local q, err = queue.open({ dir = dir; max_bytes = options.max_bytes or 1e9; log = log;
		sync = not options.unsynced and (options.sync or synced) or nil });
	return assert(q, err);
end

local function same(got, want, what)
	if got ~= want then
		error(("%s is %s, expected %s"):format(what, tostring(got), tostring(want)), 2);
	end
end

local function add(q, text)
	local number, err = q:append("2026-11-24T12:00:00.123Z", "out", text);
	assert(number, err);
	return number;
end

-- Takes everything out of q: "number=text" of each copy in order, with
-- "SOURCE:" in front where the source is another than before.
local function drain(q, max_copies)
	local found, source = {}, nil;
	while true do
		local batch, err = q:peek(max_copies or 3, 1000);
		assert(not err, err);
		if not batch then break; end
		if source and batch.source ~= source then found[#found + 1] = "SOURCE:"; end
		source = batch.source;
		local before;
		for _, c in ipairs(batch.copies) do
			assert(not before or c.number == before + 1, "numbers in a batch are not consecutive");
			before = c.number;
			found[#found + 1] = c.number .. "=" .. c.text;
		end
		q:drop(batch);
	end
	assert(q:is_empty(), "not empty");
	return table.concat(found, " ");
end

local function read(path)
	local file = assert(io.open(path, "rb"));
	local text = file:read("*a");
	file:close();
	return text;
end

local function write(path, text)
	local file = assert(io.open(path, "wb"));
	assert(file:write(text));
	file:close();
end

local function files(dir)
	local names = {};
	for name in lfs.dir(dir) do
		if name ~= "." and name ~= ".." then names[#names + 1] = name; end
	end
	table.sort(names);
	return names;
end

local tests = {};

function tests.keeps_text_and_order()
	local q = open(new_dir());
	local texts = { "a", "", "\n", "2 2026-11-24T12:00:00.123Z out 1 0 0\nx\n", ("long "):rep(2000), "nul\0nul", "last" };
	for number, text in ipairs(texts) do same(add(q, text), number, "number"); end
	local want = {};
	for number, text in ipairs(texts) do want[number] = number .. "=" .. text; end
	same(drain(q), table.concat(want, " "), "what comes out");
	same(add(q, "next"), #texts + 1, "number after that");
end

function tests.gives_again_what_was_not_dropped()
	local dir = new_dir();
	local q = open(dir);
	for n = 1, 7 do add(q, "t" .. n); end
	q:drop(q:peek(2, 1000));
	same(#q:peek(3, 1000).copies, 3, "copies in a batch");
	same(q:peek(3, 1000).copies[1].number, 3, "first number");
	same(#q:peek(100, 4).copies, 2, "copies of 4 bytes"); -- t3 t4
	same(#q:peek(100, 1).copies, 1, "copies where one is too large");
	q:close();
	local again = open(dir);
	same(again.source, q.source, "source");
	same(drain(again), "1=t1 2=t2 3=t3 4=t4 5=t5 6=t6 7=t7", "after a restart"); -- that 2 were taken is not written down
	same(add(again, "t8"), 8, "number");
end

function tests.rolls_and_deletes_files()
	local dir = new_dir();
	local q = open(dir, { max_bytes = 1 }); -- the smallest segments
	q.max_bytes = 1e9;
	local want = {};
	for n = 1, 100 do
		local text = ("%d-"):format(n):rep(100);
		add(q, text);
		want[n] = n .. "=" .. text;
	end
	assert(#files(dir) > 5, "no more than 5 files");
	local again = open(dir);
	same(drain(again, 7), table.concat(want, " "), "what comes out");
	same(#files(dir), 1, "number of files");
	same(again:waiting(), 0, "bytes that wait");
	same(add(again, "x"), 101, "number");
	same(drain(q, 7), "", "what the other has left"); -- its files are gone
end

function tests.forgets_what_is_acknowledged()
	local dir = new_dir();
	local q = open(dir);
	add(q, "secret");
	q:compact();
	same(#files(dir), 1, "number of files");
	assert(read(dir .. "/" .. files(dir)[1]):find("secret"), "dropped too early");
	drain(q);
	q:compact();
	same(#files(dir), 1, "number of files");
	assert(not read(dir .. "/" .. files(dir)[1]):find("secret"), "still there");
	local again = open(dir);
	same(again.source, q.source, "source");
	same(add(again, "x"), 2, "number");
	for _ = 1, 300 do add(again, ("x"):rep(1000)); end -- without a pause in which to compact
	drain(again, 1000);
	assert(lfs.attributes(dir .. "/" .. files(dir)[1], "size") < 1000, "the file is not emptied");
end

-- Cuts the last file off at each length, and changes each of its bytes: what
-- comes out is right or missing, and no number comes again.
function tests.survives_torn_and_damaged_files()
	local dir = new_dir();
	local q = open(dir);
	local ends = {};
	local path = dir .. "/" .. files(dir)[1];
	local header = #read(path);
	for n = 1, 4 do
		add(q, ("text\n%d"):format(n):rep(n));
		ends[#read(path)] = n;
	end
	q:close();
	local whole = read(path);
	local right = {};
	for n = 1, 4 do right[n] = n .. "=" .. ("text\n%d"):format(n):rep(n); end

	for length = 0, #whole do
		local cut = new_dir();
		lfs.mkdir(cut);
		write(cut .. "/0000000001.queue", whole:sub(1, length));
		local again = open(cut);
		if length < header then
			assert(again.source ~= q.source, "a source without its numbers");
			same(again.next, 1, "number of a new source");
		else
			same(again.source, q.source, "source");
			local complete = 0;
			for e, n in pairs(ends) do
				if e <= length then complete = math.max(complete, n); end
			end
			local torn = length > header and not ends[length];
			same(again.next, complete + (torn and 2 or 1), ("number after a cut at %d"):format(length));
			same(drain(again), table.concat(right, " ", 1, complete), "after a cut");
		end
	end

	for at = 1, #whole do
		for _, change in ipairs { 1, 128, 10, 255 } do
			local damaged = new_dir();
			lfs.mkdir(damaged);
			local byte = string.char(whole:byte(at) ~ change);
			write(damaged .. "/0000000001.queue", whole:sub(1, at - 1) .. byte .. whole:sub(at + 1));
			local again = open(damaged);
			assert(again.source ~= q.source or again.next > 4, "a number comes again");
			for entry in drain(again):gmatch("%d+=[^ ]*") do
				assert(table.concat(right, " "):find(entry, 1, true), "a copy that nobody wrote: " .. entry);
			end
			local kept = 0;
			for _, name in ipairs(files(damaged)) do
				if name:find(".damaged-", 1, true) then kept = kept + 1; end
			end
			same(kept, 1, ("files kept after a change at %d"):format(at));
		end
	end
end

function tests.goes_on_after_a_damaged_file()
	local dir = new_dir();
	local q = open(dir, { max_bytes = 1 });
	q.max_bytes = 1e9;
	for n = 1, 40 do add(q, ("%d-"):format(n):rep(100)); end
	q:close();
	local first = dir .. "/" .. files(dir)[1];
	local text = read(first);
	write(first, text:sub(1, 500) .. "?" .. text:sub(502));
	logged = {};
	local again = open(dir);
	same(again.source, q.source, "source");
	local numbers = {};
	for number in drain(again):gmatch("(%d+)=") do numbers[#numbers + 1] = tonumber(number); end
	assert(#numbers > 20 and numbers[#numbers] == 40, "what came behind is missing");
	assert(logged[1]:find("^error: copies in .* cannot be read"), "nothing is logged");
	same(again.next, 41, "number");
end

function tests.counts_what_is_lost()
	local dir = new_dir();
	local q = open(dir, { max_bytes = 100 });
	add(q, ("x"):rep(30));
	local number, err, used_up = q:append("t", "in", ("y"):rep(90));
	assert(not number and err == "the queue is full" and not used_up, "not full");
	for n = 1, 5 do q:lose(1, "2026-11-24T12:00:00.123Z", n / 10); end -- the clock may be near 0
	q.max_bytes = 1000;
	same(add(q, "z"), 7, "number");
	same(drain(q), "1=" .. ("x"):rep(30) .. " 7=z", "what comes out");
	q.max_bytes = 1;
	q:lose(3, "2026-11-24T12:00:00.123Z", 200);
	local again = open(dir);
	same(again.next, 11, "number after a restart"); -- the loss was written down
	same(drain(again), "1=" .. ("x"):rep(30) .. " 7=z", "after a restart");
end

-- A disk that is full for a while.
function tests.survives_failing_writes()
	local dir = new_dir();
	local q = open(dir);
	add(q, "one");
	local out = q.out;
	q.out = { write = function (_, text)
		out:write(text:sub(1, 20)); -- what a short write leaves behind
		return nil, "No space left on device";
	end; close = function () out:close(); end };
	local number, err, used_up = q:append("t", "in", "two");
	assert(not number and err == "No space left on device" and used_up, "the failure is not told");
	q:lose(0, "t", 100);
	same(add(q, "three"), 3, "number");
	same(drain(q), "1=one 3=three", "what comes out");
	same(open(dir).next, 4, "number after a restart");

	local stuck = open(new_dir());
	add(stuck, "one");
	stuck.failed = true;
	local roll = stuck.roll;
	function stuck.roll() return nil, "No space left on device"; end
	number, err = stuck:append("t", "in", "two");
	assert(not number and err == "No space left on device", "written into a file that has failed");
	stuck.roll = roll;
	same(add(stuck, "three"), 3, "number");
	same(drain(stuck), "1=one 3=three", "what comes out");
end

function tests.makes_numbers_durable_before_they_are_used()
	local calls, fail = {}, nil;
	local dir = new_dir();
	local q = open(dir, { sync = function (path)
		calls[#calls + 1] = path:sub(#dir + 2);
		if fail and path:find(fail) then return nil, "Input/output error"; end
		return true;
	end });
	same(table.concat(calls, " "), "0000000001.queue ", "synced on opening"); -- and the folder
	calls = {};
	assert(q:sync());
	same(#calls, 0, "calls without anything new");
	add(q, "one");
	add(q, "two");
	assert(q:sync());
	same(table.concat(calls, " "), "0000000001.queue", "synced");
	-- The file fails: a new one takes over.
	calls, fail = {}, "0000000001";
	add(q, "three");
	assert(q:sync());
	same(table.concat(calls, " "), "0000000001.queue 0000000002.queue  0000000001.queue", "synced");
	same(add(q, "four"), 4, "number");
	same(drain(q), "1=one 2=two 3=three 4=four", "what comes out");
	-- The disk fails: nothing may be sent, however often one asks.
	fail = "queue";
	add(q, "five");
	for _ = 1, 2 do
		local ok, err = q:sync();
		assert(not ok and err == "Input/output error", "a failed sync is taken for one");
	end
	fail = nil;
	assert(q:sync());
	same(drain(q), "5=five", "what comes out");
end

function tests.never_continues_numbers_that_no_disk_confirmed()
	local dir = new_dir();
	local q = open(dir, { unsynced = true });
	add(q, "old");
	local again = open(dir, { unsynced = true });
	assert(again.source ~= q.source, "the source goes on");
	same(add(again, "new"), 1, "number");
	same(drain(again), "1=old SOURCE: 1=new", "what comes out");
end

function tests.starts_anew_where_nothing_is_left()
	local dir = new_dir();
	local q = open(dir);
	add(q, "x");
	os.remove(dir .. "/" .. files(dir)[1]);
	local again = open(dir);
	assert(again.source ~= q.source and again.next == 1, "an old source begins from 1");
	-- The newest file is what tells the numbers.
	dir = new_dir();
	q = open(dir);
	add(q, "x");
	write(dir .. "/0000000002.queue", "archivolt-queue 1 nonsense 7 0123456789abcdef\nmore\n");
	write(dir .. "/0000000003.queue", "archiv");
	again = open(dir);
	assert(again.source ~= q.source, "goes on behind a damaged file");
	same(drain(again), "1=x", "what comes out");
end

function tests.sets_aside()
	local dir = new_dir();
	local q = open(dir);
	for n = 1, 3 do add(q, "t" .. n); end
	q:drop(q:peek(1, 1000));
	local path = assert(q:set_aside(q:peek(1, 1000)));
	same(path, dir .. "/rejected", "path");
	same(drain(q), "3=t3", "what comes out");
	add(q, "t4");
	q:set_aside(q:peek(1, 1000));
	local text = read(path);
	assert(text:find("out 2 %x+ %x+\nt2\n") and text:find("\nt4\n") and not text:find("t3"), text);
	assert(text:find("^archivolt%-queue 1 " .. q.source:gsub("%-", "%%-") .. " 2 "), text);
end

function tests.tells_why_it_cannot_open()
	write(temporary .. "/file", "");
	local q, err = queue.open({ dir = temporary .. "/file/queue"; max_bytes = 1; log = log });
	assert(not q and tostring(err):find("[Nn]o"), tostring(err));
end

function tests.syncs()
	local found = 0;
	for _, name in ipairs { "lua-posix", "lua-luv", "sync(1)" } do
		local sync = sync_lib.find(name);
		if sync then
			found = found + 1;
			local path = temporary .. "/it's a file";
			write(path, "x");
			assert(sync(path), name);
			assert(sync(temporary), name);
			local ok, err = sync(temporary .. "/absent");
			assert(not ok and err, name .. " syncs what is not there");
		end
		print("sync by " .. name .. ": " .. (sync and "yes" or "not here"));
	end
	assert(found > 0, "nothing can sync");
end

local names = {};
for name in pairs(tests) do names[#names + 1] = name; end
table.sort(names);
local failed = 0;
for _, name in ipairs(names) do
	local ok, err = xpcall(tests[name], debug.traceback);
	print((ok and "ok      " or "FAILED  ") .. name .. (ok and "" or "\n" .. err));
	if not ok then failed = failed + 1; end
end
os.exit(failed == 0 and 0 or 1);
