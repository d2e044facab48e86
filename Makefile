# What there is to do here. `make` lists it.

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## everything embedded, until Ctrl-C; the dashboard's address is printed
	go run ./cmd/livedb demo

.PHONY: build
build: ## the binary, as bin/livedb
	CGO_ENABLED=0 go build -trimpath -o bin/livedb ./cmd/livedb

.PHONY: test
test: ## all tests; those that need what this machine lacks say so
	go test ./...

.PHONY: race
race: ## all tests under the race detector
	go test -race ./...

.PHONY: fuzz
fuzz: ## one fuzz target: make fuzz FUZZ=FuzzDecode PACKAGE=./cdc/pgoutput TIME=1m
	go test -run '^$$' -fuzz '^$(FUZZ)$$' -fuzztime $(TIME) $(PACKAGE)

FUZZ ?= FuzzDecode
PACKAGE ?= ./cdc/pgoutput
TIME ?= 1m

.PHONY: bench
bench: ## all benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: lint
lint: ## gofmt, go vet and staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

.PHONY: cross
cross: ## compile for macOS and Windows
	GOOS=darwin go build ./...
	GOOS=windows go build ./...

.PHONY: ci
ci: ## what CI does, about half an hour
	bash .ci/run

.PHONY: compose
compose: ## LiveDB beside Postgres, Kafka, Prometheus and Grafana in Docker
	docker compose -f compose/docker-compose.yml up --build
