GO ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 2m
RACE ?= ./...
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: test race check format bench fuzz dist clean

## test: everything that runs here; skips are shown
test:
	$(GO) test ./...

## race: the same under the race detector (needs a C compiler)
race:
	$(GO) test -race -timeout 30m $(RACE)

## check: format, vet (also for Windows and macOS), staticcheck, layout, module files, alerts, shell scripts, Lua
check:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	$(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test ./internal/layout
	$(GO) mod tidy -diff
	$(GO) mod verify
	@if command -v promtool >/dev/null; then promtool check rules contrib/prometheus/archivoltd.rules.yml; else echo "skipped: promtool is not installed (Debian: prometheus)"; fi
	@if command -v luacheck >/dev/null; then luacheck --quiet --no-color --config contrib/prosody/.luacheckrc contrib/prosody; else echo "skipped: luacheck is not installed"; fi
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run $$(git ls-files '*.sh'); else echo "skipped: shellcheck is not installed"; fi

format:
	gofmt -w $$(git ls-files '*.go')

## bench: ratios against a named peer in the same run
bench:
	ARCHIVOLT_BENCH_LARGE=1 $(GO) test -run '^$$' -bench . -benchtime 5s -timeout 30m ./...

## fuzz: every fuzzer, FUZZTIME each
fuzz:
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $$package; \
		done; \
	done

## dist: binaries without cgo for all systems, with their checksums; the daemon is for Unix
dist:
	rm -rf dist && mkdir dist
	@set -e; for platform in $(PLATFORMS); do \
		os=$${platform%/*}; arch=$${platform#*/}; \
		for program in archivolt archivoltd; do \
			name=dist/$${program}_$${os}_$${arch}; \
			if [ $$os = windows ]; then \
				if [ $$program = archivoltd ]; then continue; fi; \
				name=$$name.exe; \
			fi; \
			echo $$name; \
			CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $$name ./cmd/$$program; \
		done; \
	done
	cd dist && { sha256sum archivolt* 2>/dev/null || shasum -a 256 archivolt*; } > SHA256SUMS

clean:
	rm -rf dist archivolt archivoltd archivolt-demo
