// Command archivoltd is the capture daemon: it takes copies of messages from
// XMPP servers and keeps them sealed. It holds no key that opens what it has
// finished.
//
// This file parses the command line and prints errors; run.go wires the parts
// and runs them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"archivolt/internal/config"
	"archivolt/internal/problem"
)

// version is set by the release build (see the Makefile).
var version = ""

// cli is the whole command line.
type cli struct {
	Version kong.VersionFlag `help:"Print the version and stop."`

	Run         runCmd    `cmd:"" help:"Capture until the signal TERM or INT."`
	CheckConfig checkCmd  `cmd:"" help:"Check the configuration and the files it names, and say what it means."`
	Status      statusCmd `cmd:"" help:"Ask the running daemon how it is."`

	Key      keyCmd      `cmd:"" help:"The key of an archive in Cisco's format."`
	Password passwordCmd `cmd:"" help:"The password of the keystore."`
}

// configFlag names the configuration.
type configFlag struct {
	Config string `required:"" placeholder:"FILE" help:"The configuration, archivoltd.yaml."`
}

func (f *configFlag) read() (*config.Daemon, error) {
	data, err := os.ReadFile(f.Config)
	if err != nil {
		return nil, err
	}
	return config.ParseDaemon(f.Config, data)
}

// app is what a command runs with.
type app struct {
	ctx      context.Context // done when the daemon is to stop
	out, err io.Writer
}

func main() { os.Exit(runMain()) }

func runMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once; nothing acknowledged is lost by that
	a := &app{ctx: ctx, out: os.Stdout, err: os.Stderr}
	return a.run(os.Args[1:])
}

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
	parser, err := kong.New(&c, kong.Name("archivoltd"), kong.Description("Captures the messages of XMPP servers into a sealed archive, which only its recipients can read."),
		kong.Vars{"version": programVersion()}, kong.Writers(a.out, a.err), kong.Exit(func(code int) { panic(exit(code)) }), kong.ShortUsageOnError())
	if err != nil {
		return a.fail(err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return a.fail(problem.New(problem.Usage, "", err.Error(), "see archivoltd --help"))
	}
	if err := command.Run(a); err != nil {
		return a.fail(err)
	}
	return 0
}

// fail prints a problem and returns the exit code.
func (a *app) fail(err error) int {
	p := problem.Of(err)
	fmt.Fprintf(a.err, "archivoltd: %s\n", p.Error())
	if p.Try != "" {
		fmt.Fprintf(a.err, "  try: %s\n", p.Try)
	}
	return p.Class.ExitCode()
}

// programVersion is what --version prints, and what the ledger is told.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.Trim(info.Main.Version, "()")
	}
	return "unknown"
}
