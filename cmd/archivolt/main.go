// Command archivolt is the compliance officer's tool: it opens the encrypted
// archive of Cisco IM and Presence with the officer's private key.
//
// This file parses the command line and hands over; each subcommand has a file
// of its own, and ui.go alone prints errors and picks exit codes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"archivolt/internal/problem"
)

// version is set by the release build (see the Makefile).
var version = ""

// cli is the whole command line. Repeatable flags have sep:"none": a comma is
// part of a file's name.
type cli struct {
	JSON    bool             `name:"json" help:"Print results and errors as JSON."`
	Quiet   bool             `short:"q" help:"Print no notes and no warnings."`
	Version kong.VersionFlag `help:"Print the version and stop."`

	Demo    demoCmd    `cmd:"" help:"Make sample keys and encrypted messages, and open them."`
	Keygen  keygenCmd  `cmd:"" help:"Make the officer's RSA key pair."`
	Key     keyCmd     `cmd:"" help:"Look at keys, unwrap and wrap them."`
	Decrypt decryptCmd `cmd:"" help:"Decrypt one value, or one on each line."`
	Encrypt encryptCmd `cmd:"" help:"Encrypt one value, or one on each line, as IM&P does."`

	Check  checkCmd  `cmd:"" help:"Report what an archive holds: rows, keys over time, what cannot be read."`
	Users  usersCmd  `cmd:"" help:"List the people in an archive."`
	Rooms  roomsCmd  `cmd:"" help:"List the rooms in an archive."`
	Search searchCmd `cmd:"" help:"Find messages by words, people and time."`
	Show   showCmd   `cmd:"" help:"Show a conversation as a person would read it."`
	Export exportCmd `cmd:"" help:"Write messages to files."`

	Verify   verifyCmd   `cmd:"" help:"Check that an export or an archive of archivoltd was not changed, and who signed it."`
	Identity identityCmd `cmd:"" help:"Make the officer's identity, which opens archives and signs exports, and look at it."`
}

// keyCmd groups what is done with key files.
type keyCmd struct {
	Inspect inspectCmd `cmd:"" help:"Say what a file is, in words. No secret is printed."`
	Unwrap  unwrapCmd  `cmd:"" help:"Open the wrapped key that IM&P handed out."`
	Wrap    wrapCmd    `cmd:"" help:"Wrap a key text for a public key, as IM&P hands it out."`
}

// app is what a command runs with: the outside world and the common flags.
type app struct {
	ctx    context.Context // done when the user presses Ctrl-C
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string
	free   func(path string) (bytes int64, known bool) // space on the disk of an existing folder; nil if it is not looked at

	inTerminal, outTerminal, errTerminal bool

	json, quiet bool
}

// grace is how long an interrupted command has for removing what it has not
// finished.
const grace = 800 * time.Millisecond

func main() { os.Exit(runMain()) }

func runMain() int {
	// A signal that is ignored already stays so: nohup(1) and shells rely on it.
	stopping := slices.DeleteFunc(slices.Clone(interrupts), signal.Ignored)
	ctx, stop := context.WithCancel(context.Background())
	if len(stopping) > 0 {
		ctx, stop = signal.NotifyContext(ctx, stopping...)
	}
	defer stop()
	// A second signal ends the program at once, and so does a while without an
	// end: a write to a pipe that nobody reads cannot be called off.
	call := context.AfterFunc(ctx, func() {
		stop()
		time.AfterFunc(grace, func() {
			fmt.Fprintln(os.Stderr, "archivolt: interrupted")
			os.Exit(problem.Interrupted.ExitCode())
		})
	})
	defer call() // before stop: an ordinary end is no interruption
	ignoreBrokenPipes()
	a := &app{
		ctx: ctx, in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, free: freeSpace,
		inTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		errTerminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
	return a.run(os.Args[1:])
}

// run executes one command line and returns the exit code.
func (a *app) run(args []string) (code int) {
	var c cli
	type exit int // kong's wish to stop after --help and --version
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exit:
			code = int(r)
		default:
			panic(r)
		}
	}()
	parser, err := kong.New(&c,
		kong.Name("archivolt"),
		kong.Description("Opens the encrypted message archive of Cisco IM and Presence, and archives of archivoltd, with the compliance officer's private key.\n\n"+
			"First steps:\n\n    archivolt demo"),
		kong.Vars{"version": "archivolt " + versionText(), "formats": formatNames(), "formatHelp": formatHelp()},
		kong.Writers(a.out, a.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Exit(func(code int) { panic(exit(code)) }),
	)
	if err != nil {
		return a.fail(err)
	}
	command, err := parser.Parse(argumentsFirst(parser.Model, args))
	a.json, a.quiet = c.JSON, c.Quiet
	if err != nil {
		a.json = slices.Contains(args, "--json")
		return a.fail(&problem.Error{Class: problem.Usage, What: err.Error(), Try: "archivolt --help", Err: err})
	}
	if err := command.Run(a); err != nil {
		return a.fail(err)
	}
	return 0
}

// argumentsFirst moves flags behind the arguments, so that words may stand
// before, between and after flags: the parser takes the words of a search only
// while they stand together.
func argumentsFirst(model *kong.Application, args []string) []string {
	takesValue := map[string]bool{}
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error { // never fails
		if flag, ok := node.(*kong.Flag); ok {
			takesValue["--"+flag.Name] = !flag.IsBool()
			if flag.Tag.Negatable != "" {
				takesValue["--no-"+flag.Name] = false
			}
		}
		return next(nil)
	})
	var plain, flags []string
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return slices.Concat(plain, flags, args[i:])
		case len(arg) < 2 || arg[0] != '-':
			plain = append(plain, arg)
		case !known(takesValue, arg):
			return args // a mistake, which the parser names
		case takesValue[arg] && i+1 < len(args):
			flags = append(flags, arg, args[i+1])
			i++
		default:
			flags = append(flags, arg)
		}
	}
	return slices.Concat(plain, flags)
}

// known tells whether arg, with or without its value, is a flag.
func known(flags map[string]bool, arg string) bool {
	name, _, _ := strings.Cut(arg, "=")
	_, ok := flags[name]
	return ok || arg == "-q" || arg == "-h"
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown version)"
}

// note prints a line about what is being done, unless --quiet or --json.
func (a *app) note(format string, args ...any) {
	if !a.quiet && !a.json {
		fmt.Fprintf(a.err, "archivolt: %s\n", safe(fmt.Sprintf(format, args...))) // names of files and tables are not ours
	}
}

// warn prints something the user should mend, unless --quiet.
func (a *app) warn(what, try string) {
	if a.quiet {
		return
	}
	if a.json {
		_ = printJSON(a.err, map[string]string{"warning": what, "try": try}) // nowhere left to say so
		return
	}
	fmt.Fprintf(a.err, "archivolt: warning: %s\n", what)
	if try != "" {
		fmt.Fprintf(a.err, "  try: %s\n", try)
	}
}
