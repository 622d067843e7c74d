package sqlite

// applicationID marks the file as an archive of ours (SQLite file format,
// offset 68): "AvLt".
const applicationID = 0x41764c74

// schema makes an empty archive. Indexes of the ledger are in idx.
//
// Postings stand for an index on tokens: one row for each token, epoch and
// batch with the records of the batch that have it, since two rows of an index
// for each record would cost more than sealing it.
const schema = `
CREATE TABLE head (
	one        INTEGER PRIMARY KEY CHECK (one = 1),
	id         BLOB NOT NULL,
	size       INTEGER NOT NULL,
	root       BLOB NOT NULL,
	spool      INTEGER NOT NULL,
	epoch      INTEGER NOT NULL,
	generation INTEGER NOT NULL
);
CREATE TABLE records (
	idx        INTEGER PRIMARY KEY,
	time       INTEGER NOT NULL, -- milliseconds since 1970 in UTC
	epoch      INTEGER NOT NULL,
	source     INTEGER NOT NULL, -- sources.source
	number     INTEGER NOT NULL,
	tokens     BLOB NOT NULL,
	commitment BLOB NOT NULL,
	digest     BLOB NOT NULL,    -- SHA-256 of sealed, which stays when a record is erased
	sealed     BLOB
);
CREATE TABLE entries (       -- epochs and events
	idx   INTEGER PRIMARY KEY,
	entry BLOB NOT NULL
);
CREATE TABLE wraps (
	epoch INTEGER NOT NULL,
	part  INTEGER NOT NULL,
	idx   INTEGER NOT NULL,      -- of the epoch's entry
	wrap  BLOB NOT NULL,         -- an age file
	PRIMARY KEY (epoch, part)
);
CREATE TABLE postings (
	epoch INTEGER NOT NULL,
	token INTEGER NOT NULL,      -- 64 bits, highest first, as a signed number
	first INTEGER NOT NULL,      -- idx
	list  BLOB NOT NULL,         -- differences to the next idx, as varints
	PRIMARY KEY (epoch, token, first)
) WITHOUT ROWID;
CREATE TABLE tiles (
	tile   INTEGER PRIMARY KEY,  -- level times 2^48, and number
	hashes BLOB NOT NULL
);
CREATE TABLE sources (
	source INTEGER PRIMARY KEY,
	name   TEXT NOT NULL UNIQUE,
	mark   INTEGER NOT NULL      -- highest delivery number that is stored
);
CREATE TABLE checkpoint (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	text BLOB NOT NULL
);
`

// levelShift is where the level stands in tiles.tile.
const levelShift = 48
