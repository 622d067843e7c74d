-- How a file is brought to the disk: sync(path) -> true, or nil and why not.
-- Lua itself cannot, so it takes whichever of these the machine has. Any
-- descriptor of a file will do, since fsync(2) is about the file.

local function posix_sync()
	local fcntl, unistd = require "posix.fcntl", require "posix.unistd";
	return function (path)
		local fd, err = fcntl.open(path, fcntl.O_RDONLY);
		if not fd then return nil, err; end
		local ok, sync_err = unistd.fsync(fd);
		unistd.close(fd);
		return ok and true, sync_err;
	end
end

local function luv_sync()
	rawset(_G, "_THREAD", false); -- luv asks for it, and Prosody warns of every global that is not there
	local found, uv = pcall(require, "luv");
	rawset(_G, "_THREAD", nil);
	if not found then return nil; end
	return function (path)
		local fd, err = uv.fs_open(path, "r", 0);
		if not fd then return nil, err; end
		local ok, sync_err = uv.fs_fsync(fd);
		uv.fs_close(fd);
		return ok and true, sync_err;
	end
end

-- The program of GNU coreutils; the one of other systems takes no file.
local function command_sync()
	local function sync(path)
		local ok = os.execute("sync '" .. path:gsub("'", "'\\''") .. "' >/dev/null 2>&1");
		if ok == true or ok == 0 then return true; end -- Lua 5.1 gives the status itself
		return nil, "sync: exit status " .. tostring(ok);
	end
	local version = io.popen("sync --version 2>/dev/null");
	local first = version and version:read("*l");
	if version then version:close(); end
	return first and first:find("coreutils", 1, true) and sync;
end

local ways = {
	{ name = "lua-posix"; new = posix_sync };
	{ name = "lua-luv"; new = luv_sync };
	{ name = "sync(1)"; new = command_sync };
};

-- Gives sync and the name of its way, or nothing where there is none. With
-- wanted, only the way of that name.
local function find(wanted)
	for _, way in ipairs(ways) do
		if not wanted or wanted == way.name then
			local ok, sync = pcall(way.new);
			if ok and sync then return sync, way.name; end
		end
	end
end

return { find = find };
