# What can be done here, one line each. `make run` and `make test` set up what they need themselves.
# A person needs make, git and the Go that go.mod names; `make run` needs no C compiler.

.PHONY: build run test unit e2e lint fuzz bench soak drift clean

build:   ; scripts/build                                # bin/pennypost
run:     build ; exec bin/pennypost serve --data ./data # build, and serve on the default addresses
test:    ; scripts/test all                             # set up what is missing, lint, unit tests with -race, end to end
unit:    ; scripts/test unit $(PKG)                     # unit tests alone (PKG=./internal/db/... for some)
e2e:     ; scripts/test e2e $(RUN)                      # end-to-end tests alone (RUN=TestQuickStart for some)
lint:    ; scripts/lint                                 # gofumpt, go vet, staticcheck
fuzz:    ; scripts/fuzz $(FUZZTIME)                     # every fuzz target in turn, FUZZTIME (10s) each
bench:   ; scripts/bench $(BENCH)                        # the figures of docs/benchmarks.md here; BENCH=-quick for two minutes
soak:    ; scripts/soak $(ROUNDS)                       # kill -9 under load, ROUNDS (100) times, checking after each
drift:   ; scripts/drift                                # compare the contract with the newest published model
clean:   ; rm -rf bin .cache
