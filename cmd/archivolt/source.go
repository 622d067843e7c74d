package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // Windows has no time zones of its own

	"github.com/schollz/progressbar/v3"

	"archivolt/internal/archive"
	"archivolt/internal/config"
	"archivolt/internal/message"
	"archivolt/internal/people"
	"archivolt/internal/problem"
	"archivolt/internal/review"
)

// archiveFlags name an archive, its keys, and how it is shown.
type archiveFlags struct {
	keyFlags
	Also       []string `sep:"none" placeholder:"ARCHIVE" help:"A further archive, read as one with the first. Repeatable."`
	Timezone   string   `placeholder:"ZONE" help:"Time zone of what is shown and of --since and --until, such as Europe/Berlin. UTC if left out."`
	Schema     string   `placeholder:"NAME" help:"Schema of the table in a database, where it is not the usual one."`
	Table      string   `placeholder:"NAME" help:"Name of the table, where it is not JM."`
	AllowLocks bool     `help:"Read a database even where that may hold up the archiver that writes to it: for copies."`
	People     string   `placeholder:"FILE" help:"Directory of people (CSV or LDIF): names are shown, and --user and --with take them."`
	Profile    string   `placeholder:"NAME" help:"Profile in archivolt.yaml that names the archive, the keys and the rest."`
	Config     string   `placeholder:"FILE" help:"Configuration to take the profile from."`

	directory *people.Directory
	zone      *time.Location
	advice    advice
	words     []string // that were looked for, as they were typed
}

// filterFlags choose messages.
type filterFlags struct {
	User  []string `sep:"none" placeholder:"JID" help:"Somebody who takes part; * stands for any text. Repeated: any of them."`
	With  []string `sep:"none" placeholder:"JID" help:"Likewise. Repeated: all of them."`
	Room  []string `sep:"none" placeholder:"JID" help:"The room. Repeated: any of them."`
	Since string   `placeholder:"TIME" help:"First day or time: 2024-01-31, 2024-01-31 08:00."`
	Until string   `placeholder:"TIME" help:"Last day, which is included, or the time to end before."`
	Fast  *bool    `negatable:"" help:"In a database, read only the rows whose addresses begin, encrypted or not, like those of --user, --with and --room. What this cannot see is said. Archives of archivoltd are read so unless --no-fast is given."`

	looked bool // up: not everything was read
}

// open opens the archive named by the first of args, or by the profile, and
// returns it with the other args.
func (f *archiveFlags) open(a *app, args []string) (*archive.Archive, []string, error) {
	var paths []string
	if f.Profile != "" {
		p, err := config.Find(f.Config, f.Profile)
		if err != nil {
			return nil, nil, err
		}
		f.apply(p)
		if p.Archive != "" {
			paths = append([]string{p.Archive}, p.Also...)
		}
	}
	if len(paths) == 0 {
		if len(args) == 0 {
			return nil, nil, problem.New(problem.Usage, "", "no archive was named", "name the exported table, such as jm.csv, or a --profile")
		}
		paths, args = args[:1:1], args[1:] // of its own: further archives are appended
	}
	var err error
	if f.zone, err = time.LoadLocation(f.Timezone); err != nil {
		return nil, nil, problem.New(problem.Usage, "--timezone", "there is no time zone "+f.Timezone, "write it as Europe/Berlin or America/New_York")
	}
	if f.People != "" {
		data, err := a.readSmall(f.People)
		if err != nil {
			return nil, nil, err
		}
		if f.directory, err = people.Parse(f.People, data); err != nil {
			return nil, nil, err
		}
	}
	paths = append(paths, f.Also...)
	keys, err := f.keysFor(a, paths)
	if err != nil {
		return nil, nil, err
	}
	debug.SetGCPercent(gcPercent)
	src, err := archive.Open(a.ctx, paths, keys, archive.Options{Schema: f.Schema, Table: f.Table, Password: os.Getenv(archive.PasswordVariable), AllowLocks: f.AllowLocks})
	if err != nil {
		return nil, nil, err
	}
	for _, n := range src.Notes() {
		a.note("%s", n)
	}
	if !a.quiet && a.errTerminal {
		src.Progress = a.progress(true)
	}
	return src, args, nil
}

// keysFor opens the keys that the archives need, and makes the advice for rows
// that none of them opens.
func (f *archiveFlags) keysFor(a *app, paths []string) (keys archive.Keys, err error) {
	kind, err := archive.KindOf(paths)
	switch {
	case err != nil:
		return keys, err
	case kind == archive.Own:
		f.advice = advice{given: len(f.PrivateKey) > 0,
			add:     "add --private-key FILE, the identity of an officer for whom it was sealed",
			more:    "pass the identity of every officer for whom it was sealed, each with its own --private-key; archivolt check lists them",
			damaged: "archivolt verify tells what was changed"}
		if f.advice.given {
			keys.Identities, err = f.openIdentities(a)
		}
		return keys, err
	}
	f.advice = advice{given: len(f.Key) > 0,
		add:     "add --key FILE, the key file from IM&P, and --private-key FILE",
		more:    "pass every key the archive has had, each with its own --key",
		damaged: "look at these rows in the file itself, or export it again"}
	if f.advice.given {
		keys.Cisco, err = f.openKeys(a)
	}
	return keys, err
}

// advice is what to do about rows that no key opens.
type advice struct {
	given   bool   // a key was
	add     string // if none was
	more    string // if one was
	damaged string // if one opens the others
}

// gcPercent is how much garbage may pile up beside what is in use, in percent
// of it. Half of Go's usual bound costs little here, since rows leave few
// pointers, and keeps the memory for millions of rows in tens of megabytes.
const gcPercent = 50

// ask opens the archive and makes the filter. What follows the archive among
// args are words to look for, where the command takes them.
func (f *archiveFlags) ask(a *app, args []string, chosen *filterFlags, takesWords bool) (*archive.Archive, *message.Filter, error) {
	src, words, err := f.open(a, args)
	if err != nil {
		return nil, nil, err
	}
	if len(words) > 0 && !takesWords {
		err = problem.New(problem.Usage, words[0], "this argument is not understood", "name further archives with --also; quote names that hold blanks")
	}
	f.words = words
	filter, filterErr := chosen.filter(f, words)
	if err = cmp.Or(err, filterErr); err == nil && chosen.fast(src) {
		err = f.lookUp(a, src, chosen)
	}
	if err != nil {
		src.Close()
		return nil, nil, err
	}
	return src, filter, nil
}

// fast tells whether addresses are to be looked up: where that was asked for,
// and in archives of ours wherever it can be, so that nobody's records are
// opened but those of the people in question.
func (f *filterFlags) fast(src *archive.Archive) bool {
	if f.Fast != nil {
		return *f.Fast
	}
	named := slices.Concat(f.User, f.With, f.Room)
	return src.Kind() == archive.Own && len(named) > 0 && !slices.ContainsFunc(named, func(typed string) bool { return strings.Contains(typed, "*") })
}

// lookUp narrows the archive to the rows of the addresses that the filter
// names.
func (f *archiveFlags) lookUp(a *app, src *archive.Archive, chosen *filterFlags) error {
	people, err := f.inFull(slices.Concat(chosen.User, chosen.With))
	if err != nil {
		return err
	}
	rooms, err := f.inFull(chosen.Room)
	if err != nil {
		return err
	}
	if len(people)+len(rooms) == 0 {
		return problem.New(problem.Usage, "--fast", "there is no address to look up", "add --user, --with or --room, or leave out --fast")
	}
	notes, err := src.LookUp(a.ctx, people, rooms)
	for _, n := range notes {
		if chosen.Fast != nil {
			n = "--fast: " + n
		}
		a.note("%s", n)
	}
	chosen.looked = err == nil
	return err
}

// inFull turns what a user typed into bare addresses.
func (f *archiveFlags) inFull(typed []string) (addresses []string, err error) {
	for _, t := range typed {
		bare, _, _ := strings.Cut(t, "/")
		if f.directory != nil && !strings.Contains(bare, "@") {
			if people := f.directory.Find(bare); len(people) == 1 {
				bare = people[0].Address
			}
		}
		if strings.Contains(bare, "*") {
			return nil, problem.New(problem.Usage, "--fast", "an address with * cannot be looked up", "write the address in full, or leave out --fast")
		}
		addresses = append(addresses, bare)
	}
	return addresses, nil
}

// apply takes from the profile what the command line leaves open.
func (f *archiveFlags) apply(p *config.Profile) {
	if len(f.Key) == 0 {
		f.Key = p.Key
	}
	if len(f.PrivateKey) == 0 {
		f.PrivateKey = p.PrivateKey
	}
	if f.People == "" {
		f.People = p.People
	}
	if f.Timezone == "" {
		f.Timezone = p.Timezone
	}
}

// progress shows a bar on the terminal, of bytes or of something else.
func (a *app) progress(bytes bool) func(done, total int64) {
	var bar *progressbar.ProgressBar
	var last int64
	return func(done, total int64) {
		if bar == nil || done < last { // each pass has its own
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(a.err), progressbar.OptionShowBytes(bytes),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
		}
		last = done
		_ = bar.Set64(done) // a bar that cannot be drawn is no reason to stop
	}
}

// filter makes the filter of the flags.
func (f *filterFlags) filter(s *archiveFlags, words []string) (*message.Filter, error) {
	m := &message.Filter{Words: message.SplitWords(words)}
	var err error
	if m.Users, err = s.addresses("--user", f.User); err != nil {
		return nil, err
	}
	if m.With, err = s.addresses("--with", f.With); err != nil {
		return nil, err
	}
	for _, r := range f.Room {
		m.Rooms = append(m.Rooms, message.Pattern(r))
	}
	if m.Since, _, err = parseTime("--since", f.Since, s.zone); err != nil {
		return nil, err
	}
	var day bool
	if m.Until, day, err = parseTime("--until", f.Until, s.zone); err != nil {
		return nil, err
	}
	if day {
		m.Until = m.Until.AddDate(0, 0, 1)
	}
	if !m.Since.IsZero() && !m.Until.IsZero() && !m.Since.Before(m.Until) {
		return nil, problem.New(problem.Usage, "--until", "it ends before --since begins", "swap them")
	}
	return m, nil
}

// addresses turns what a user typed into patterns; names are looked up among
// the people.
func (f *archiveFlags) addresses(flag string, typed []string) (patterns []string, err error) {
	for _, t := range typed {
		if f.directory == nil || strings.ContainsAny(t, "@*") {
			patterns = append(patterns, message.Pattern(t))
			continue
		}
		switch found := f.directory.Find(t); len(found) {
		case 1:
			patterns = append(patterns, found[0].Address)
		case 0:
			return nil, problem.New(problem.Usage, flag, "nobody in the list of people is called "+t, "name the address instead, or see archivolt users")
		default:
			var list []string
			for _, p := range found {
				list = append(list, fmt.Sprintf("%s <%s>", p.Name, p.Address))
			}
			return nil, problem.New(problem.Usage, flag, "more than one person is called "+t+": "+strings.Join(list, ", "), "name the address instead")
		}
	}
	return patterns, nil
}

// parseTime reads a day or a time. day tells that it was a day.
func parseTime(flag, text string, zone *time.Location) (t time.Time, day bool, err error) {
	if text == "" {
		return time.Time{}, false, nil
	}
	if t, err := time.ParseInLocation("2006-01-02", text, zone); err == nil {
		return t, true, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.RFC3339Nano} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, false, nil
		}
	}
	return time.Time{}, false, problem.New(problem.Usage, flag, "this is no day or time", "write it as 2024-01-31 or 2024-01-31 08:00")
}

// finish writes a result, unless nothing of the archive could be read, and
// tells what became of all rows.
func (a *app) finish(r *review.Account, keys advice, result []byte) error {
	settled := outcome(r, keys)
	if settled == nil || problem.ClassOf(settled) == problem.Partial {
		if err := writeAll(a.out, result); err != nil {
			return err
		}
	}
	a.note("%s", describeAccount(r))
	return settled
}

// settleAccount tells what became of all rows, and ends with the exit code
// that this deserves.
func (a *app) settleAccount(r *review.Account, keys advice) error {
	a.note("%s", describeAccount(r))
	return outcome(r, keys)
}

// settleMessages is settleAccount for a command that has printed n messages. How
// many says nothing where no key opened any.
func (a *app) settleMessages(n int64, done string, r *review.Account, keys advice) error {
	if problem.ClassOf(outcome(r, keys)) != problem.WrongKey {
		a.note("%s %s", counted(n, "message"), done)
	}
	return a.settleAccount(r, keys)
}

// outcome is the end of a command that has read an archive.
func outcome(r *review.Account, keys advice) error {
	unreadable := r.Unreadable()
	if unreadable == 0 {
		return nil
	}
	if r.Keyed == 0 && r.Status[message.NoKey] > 0 && r.Status[message.Plain] == 0 {
		if !keys.given {
			return problem.New(problem.WrongKey, "", "the archive is encrypted, and no key was given", keys.add)
		}
		return problem.New(problem.WrongKey, "", "no key opens any encrypted row; there are "+thousands(unreadable), keys.more)
	}
	what, try := counted(unreadable, "row")+" could not be read", "archivolt check tells which and why"
	if !r.FirstUnreadable.IsZero() {
		what += ", sent between " + shortTime(r.FirstUnreadable) + " and " + shortTime(r.LastUnreadable)
	}
	switch {
	case r.Keyed > 0 || r.Status[message.NoKey] == 0:
	case !keys.given:
		what, try = what+": no key was given", keys.add
	default:
		what, try = what+": the keys given open nothing", keys.more
	}
	return problem.New(problem.Partial, "", what, try)
}

func describeAccount(r *review.Account) string {
	parts := []string{}
	for s := range message.NumStatus {
		if n := r.Status[s]; n > 0 {
			parts = append(parts, thousands(n)+" "+statusWords[s])
		}
	}
	text := counted(r.Rows, "row") + ": " + strings.Join(parts, ", ")
	if len(parts) == 0 {
		text = "no rows"
	}
	if r.Utterances > 0 { // not counted where single rows are wanted
		text += "; " + counted(r.Utterances, "message")
	}
	if r.Undated > 0 {
		text += "; " + counted(r.Undated, "row") + " without a readable date, which --since and --until leave out"
	}
	return text
}

// statusWords say a status to a person.
var statusWords = [message.NumStatus]string{"opened", "never encrypted", "opened but not certain", "damaged", "without a key"}

func shortTime(t time.Time) string {
	return t.UTC().Format("2006-01-02 15:04")
}

// thousands writes a number with separators.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
