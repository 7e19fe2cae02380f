# What can be done here, one line each. `make run` and `make test` set up what they need themselves.
# A person needs make, git and the Go that go.mod names; `make run` needs no C compiler.

.PHONY: build run test unit e2e lint fuzz bench soak drift clean

# bin/pennypost
build: ; @scripts/build

# build, and serve on the default addresses
run: build ; @exec bin/pennypost serve --data ./data

# set up what is missing, lint, unit tests with -race, end to end
test: ; @scripts/test all

# unit tests alone; PKG=./internal/db/... for some
unit: ; @scripts/test unit '$(PKG)'

# end-to-end tests alone; RUN=TestQuickStart for some
e2e: ; @scripts/test e2e '$(RUN)'

# gofumpt, go vet, staticcheck
lint: ; @scripts/lint

# every fuzz target in turn, FUZZTIME (10s) each
fuzz: ; @scripts/fuzz $(FUZZTIME)

# figures on both engines beside Dovecot, maddy and Postfix, on this machine, in half an hour; BENCH=-quick for three minutes
bench: ; @scripts/bench $(BENCH)

# SIGKILL under load, ROUNDS (100) times, checking after each; a company's day of 200 times as many messages; then mailboxes against their
# models, ten times as often
soak: ; @scripts/soak $(ROUNDS)

# compare the contract with the newest published model
drift: ; @scripts/drift

clean: ; @rm -rf bin .cache test/js/node_modules
