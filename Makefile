# From a trained Paddle model to a verified INT8 service on Paddle Serving.
# `make` alone lists the targets. Every stage target is the command of the same name, in one line; whether
# there is anything to do is decided by the command, since file times cannot see an option change.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Stages build on each other: `make -j export quantize` must not start both at once.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

## Variables
MODEL ?= ocr#         pipeline to work on, a folder of pipelines/
DATA ?=#              data to calibrate and evaluate with, instead of what the pipeline names
FROM ?=#              model for `make new` and `inspect`: directory of an inference model, a file of it, or an ONNX file
LIKE ?=#              kind of pipeline that `make new` writes: classification, detection or tensor (guessed if not given)
COPY ?=#              1: `make new` copies the model's files into the pipeline's folder
TO ?=#                what `make rollback` goes to: fp32, or back to release; the release before if not given
PRECISION ?=#         candidate to serve instead of the one that wins: int8, bf16 or fp32
BUDGET ?=#            time for the search for INT8 candidates, or for `make tune`: 90s, 5m, 1h (the spec's if not given)
STRICT ?=#            1: `make evaluate`, `release` and `ci` fail too if the verdict on what would be served is inconclusive
HOST ?=#              address to listen on (127.0.0.1 if not given)
HTTP_PORT ?=#         port for HTTP (9393 if not given)
GRPC_PORT ?=#         port for gRPC (9394 if not given)
TARGET_P99_MS ?=#     what `make tune` keeps the 99th percentile of the latency within (that of the spec if not given)
MEMORY_MB ?=#         what `make tune` keeps the memory of the service within (any if not given)
REPLICAS ?=#          replica processes (as many as the cores bear if not given)
API_KEYS ?=#          file of API keys that clients must have one of
TLS_CERT ?=#          certificate (PEM) that both ports speak TLS with
TLS_KEY ?=#           its private key (PEM)
TLS_CLIENT_CA ?=#     clients must have a certificate of this authority (PEM)
VERSION ?=#           semantic version of `make release` and `ci`, and tag of images and `targets`: 1.4.0
RELEASE ?=#           release for `make verify`, `deploy` and `image`: its directory, archive, or name in DIST
CANARY ?=#            share of the requests, in percent, that `make deploy` gives a new release at first
KEY ?=#               key file to sign releases with, or to verify with (`make keygen` makes one)
A ?=#                 release that `make diff` compares with
B ?=#                 the release to compare
DIST ?= dist#         directory of releases
BASE ?=#              image that `make image` and `make image-build` begin with, by its digest
IMAGE ?=#             image (or text, or JSON) for `make profile`, `profile-model` and `overhead`, instead of those of the release
STEP ?=#              model of the pipeline for `make profile-model`
SECONDS ?= 120#       how long `make chaos`, and each target of `make fuzz`, run
REQUESTS ?= 5000#     how many `make soak` sends
BUILD ?= build#       directory for everything that is built
V ?=#                 1: say in detail what is done
ARGS ?=#              anything further to pass on to the command
PYTHON ?=#            Python 3.9 to set up with, instead of the first one found

# Some shells export HOST, the name of the machine: that is not a wish to listen beyond loopback.
ifeq ($(origin HOST),environment)
HOST :=
endif

BOOTSTRAP := toolkit/bootstrap.sh
BIN := .venv/bin
TOOLKIT := $(BIN)/toolkit

# $(call option,--data,DATA): the option with its value in quotes, if there is a value. `value` keeps a $ in it.
quoted = '$(subst ','\'',$(value $(1)))'
option = $(if $(value $(2)),$(1) $(call quoted,$(2)))

VERBOSE_OPTION = $(if $(filter-out 0,$(V)),-v)
BUILD_OPTIONS = $(call option,--build,BUILD) $(VERBOSE_OPTION)
PORT_OPTIONS = $(call option,--host,HOST) $(call option,--http-port,HTTP_PORT) $(call option,--grpc-port,GRPC_PORT)
MODEL_OPTIONS = $(call option,--model,MODEL) $(BUILD_OPTIONS)
# Where it was said, and not only the default.
GIVEN_MODEL = $(if $(filter-out file,$(origin MODEL)),$(call option,--model,MODEL))
STAGE_OPTIONS = $(MODEL_OPTIONS) $(call option,--data,DATA) $(call option,--precision,PRECISION) \
    $(call option,--budget,BUDGET)
DIST_OPTIONS = $(call option,--dist,DIST)
KEY_OPTIONS = $(call option,--key,KEY)
RELEASE_OPTIONS = $(STAGE_OPTIONS) $(call option,--version,VERSION) $(DIST_OPTIONS) $(KEY_OPTIONS) \
    $(if $(filter-out 0,$(STRICT)),--strict)
BUNDLE_OPTIONS = $(if $(value RELEASE),$(call option,--release,RELEASE) $(DIST_OPTIONS) $(KEY_OPTIONS))
DEPLOY_OPTIONS = $(STAGE_OPTIONS) $(PORT_OPTIONS) $(call option,--replicas,REPLICAS) \
    $(call option,--api-keys,API_KEYS) $(call option,--tls-cert,TLS_CERT) $(call option,--tls-key,TLS_KEY) \
    $(call option,--tls-client-ca,TLS_CLIENT_CA)
NEW_OPTIONS = $(call option,--model,MODEL) $(call option,--from,FROM) $(call option,--like,LIKE) \
    $(call option,--data,DATA) $(if $(filter-out 0,$(COPY)),--copy) $(call option,--build,BUILD)
TUNE_OPTIONS = $(call option,--target-p99,TARGET_P99_MS) $(call option,--memory-mb,MEMORY_MB)
IMAGE_OPTIONS = $(call option,--version,VERSION) $(call option,--base,BASE)

.PHONY: help venv
help:
	@awk '/^## / { printf "\n%s:\n", substr($$0, 4) } \
	    /^[a-z][a-z0-9-]*:.* ## / { split($$0, part, ":.* ## "); printf "  %-15s %s\n", part[1], part[2] } \
	    /^[A-Z0-9_]+ [?]=/ { split($$0, part, / [?]= *|# +/); \
	        printf "  %-15s %s\n", part[1] "=" part[2], part[3] }' $(firstword $(MAKEFILE_LIST))

# What every other target needs: .venv as the lock has it. Silent and quick when it is.
venv:
	@$(BOOTSTRAP) ensure

## The whole way
.PHONY: setup doctor inspect new deploy
setup: ## Make .venv from requirements.lock (every other target does so when it has to)
	@$(BOOTSTRAP) setup
doctor: venv ## Say what this machine lacks, what that means and what to do
	@$(TOOLKIT) doctor $(PORT_OPTIONS) $(BUILD_OPTIONS) $(GIVEN_MODEL) $(ARGS)
inspect: venv ## Say what is in the model FROM: inputs, outputs, operators, what could run in INT8
	@$(TOOLKIT) inspect $(if $(value FROM),$(call quoted,FROM)) $(ARGS)
new: venv ## Write the pipeline MODEL for a model of your own, FROM, ready to deploy (LIKE=, DATA=, COPY=1)
	@$(TOOLKIT) new $(NEW_OPTIONS) $(ARGS)
deploy: venv ## All stages of MODEL, from the trained model to a verified running service; or RELEASE, as it is
	@$(TOOLKIT) deploy $(DEPLOY_OPTIONS) $(BUNDLE_OPTIONS) $(call option,--canary,CANARY) $(ARGS)

## Stages
.PHONY: export optimize calibrate quantize evaluate report convert render launch smoke
export: venv ## Write the FP32 inference model and its signature
	@$(TOOLKIT) export $(STAGE_OPTIONS) $(ARGS)
optimize: venv ## Rewrite the FP32 model into fewer operators with the same outputs
	@$(TOOLKIT) optimize $(STAGE_OPTIONS) $(ARGS)
calibrate: venv ## Gather the statistics of all activations in one pass over the calibration data
	@$(TOOLKIT) calibrate $(STAGE_OPTIONS) $(ARGS)
quantize: venv ## Search for the INT8 model that loses least, by post-training quantization
	@$(TOOLKIT) quantize $(STAGE_OPTIONS) $(ARGS)
evaluate: venv ## Judge accuracy and speed of each candidate and choose one
	@$(TOOLKIT) evaluate $(STAGE_OPTIONS) $(if $(filter-out 0,$(STRICT)),--strict) $(ARGS)
report: venv ## Write the report of the evaluation, and say where it is
	@$(TOOLKIT) report $(STAGE_OPTIONS) $(ARGS)
convert: venv ## Write the chosen model in the format of Paddle Serving
	@$(TOOLKIT) convert $(STAGE_OPTIONS) $(ARGS)
render: venv ## Write the configuration of the service from templates/
	@$(TOOLKIT) render $(STAGE_OPTIONS) $(ARGS)
launch: venv ## Start what was deployed last again and wait until it answers
	@$(TOOLKIT) launch $(DEPLOY_OPTIONS) $(ARGS)
smoke: venv ## Ask the running service over HTTP and gRPC and check its answers
	@$(TOOLKIT) smoke $(MODEL_OPTIONS) $(ARGS)

## The running service
.PHONY: serve status rollback history logs stop profile profile-model shapes tune
serve: venv ## Run the service in the foreground, for systemd and containers
	@$(TOOLKIT) serve $(DEPLOY_OPTIONS) $(ARGS)
status: venv ## Say whether the service of MODEL runs, where and since when
	@$(TOOLKIT) status $(MODEL_OPTIONS) $(ARGS)
rollback: venv ## Go back to the release before, or with TO=fp32 to the FP32 models of the one that serves
	@$(TOOLKIT) rollback $(MODEL_OPTIONS) $(call option,--to,TO) $(ARGS)
history: venv ## Show what was deployed when, by whom, and what became of it
	@$(TOOLKIT) history $(MODEL_OPTIONS) $(ARGS)
logs: venv ## Show the logs of the service of MODEL
	@$(TOOLKIT) logs $(MODEL_OPTIONS) $(ARGS)
stop: venv ## Stop the service of MODEL and everything it started
	@$(TOOLKIT) stop $(MODEL_OPTIONS) $(ARGS)

profile: venv ## Show where the time of a request goes, down to the engine's operators
	@$(TOOLKIT) profile $(STAGE_OPTIONS) $(call option,--image,IMAGE) $(ARGS)
shapes: venv ## Show which input shapes the models meet on DATA, and what padding to few sizes costs
	@$(TOOLKIT) shapes $(MODEL_OPTIONS) $(call option,--data,DATA) $(ARGS)
tune: venv ## Find the configuration that serves most on this machine, for the next deploy (TARGET_P99_MS=, MEMORY_MB=)
	@$(TOOLKIT) tune $(STAGE_OPTIONS) $(TUNE_OPTIONS) $(ARGS)
profile-model: venv ## Show the operators of the model STEP, as exported and as served, side by side
	@$(TOOLKIT) profile-model $(STAGE_OPTIONS) $(call option,--step,STEP) $(call option,--image,IMAGE) $(ARGS)

## Releases of a version
.PHONY: release releases verify diff keygen
release: venv ## Make DIST/MODEL-VERSION, its archive, seal and signature (VERSION=, KEY=)
	@$(TOOLKIT) release $(RELEASE_OPTIONS) $(ARGS)
releases: venv ## List the releases in DIST
	@$(TOOLKIT) releases $(DIST_OPTIONS) $(ARGS)
verify: venv ## Compare RELEASE with its manifest, seal and signature, to the byte
	@$(TOOLKIT) verify $(DIST_OPTIONS) $(KEY_OPTIONS) $(call quoted,RELEASE) $(ARGS)
diff: venv ## Say what changed from release A to release B
	@$(TOOLKIT) diff $(DIST_OPTIONS) $(call quoted,A) $(call quoted,B) $(ARGS)
keygen: venv ## Make a key to sign releases with, KEY and KEY.pub
	@$(TOOLKIT) keygen $(KEY_OPTIONS) $(ARGS)

## Elsewhere
.PHONY: targets image image-build ci
targets: venv ## Write what runs the service elsewhere: containers, Kubernetes, KServe, Argo, systemd, nginx, CI
	@$(TOOLKIT) targets $(MODEL_OPTIONS) $(call option,--version,VERSION) $(ARGS)
image: venv ## Build the container image of the service, with its release
	@$(TOOLKIT) image $(STAGE_OPTIONS) $(IMAGE_OPTIONS) $(call option,--release,RELEASE) $(DIST_OPTIONS) $(ARGS)
image-build: venv ## Build the container image of the build side: data in, a judged release out
	@$(TOOLKIT) image-build $(MODEL_OPTIONS) $(IMAGE_OPTIONS) $(ARGS)
ci: venv ## Run here what the rendered CI workflows run, from export to the bundle of VERSION
	@$(TOOLKIT) ci $(RELEASE_OPTIONS) $(ARGS)

## Development
.PHONY: test test-e2e test-rollouts test-pipelines test-container test-schemas chaos rollouts canary soak bench overhead fuzz lint format docs lock schema clean
test: venv ## Unit tests and one real deployment
	@$(BIN)/python -m pytest -m "not long and not rollouts and not pipelines" $(ARGS)
test-e2e: venv ## The tests that take many minutes
	@$(BIN)/python -m pytest -m long $(ARGS)
test-rollouts: venv ## Deployments, rollbacks and canaries with real replicas, and SIGKILL at every step of one
	@$(BIN)/python -m pytest -m rollouts $(ARGS)
test-pipelines: venv ## Deploy every pipeline on little data, ask it over HTTP and gRPC, and stop it
	@$(BIN)/python -m pytest -m pipelines $(ARGS)
test-container: venv ## Build images, run the rendered Deployment of them with podman, ask it, upgrade and stop it (needs BASE)
	@$(BIN)/python -m tests.containers $(MODEL_OPTIONS) $(call option,--base,BASE) $(call option,--release,RELEASE) $(ARGS)
test-schemas: venv ## Fetch what `make test` checks objects of Argo Rollouts, KServe and Prometheus' operator by (needs npm)
	@npm install --prefix .schemas --no-audit --no-fund --silent @kubernetes-models/argo-rollouts@2.0.0 \
	    @kubernetes-models/prometheus-operator@6.0.0
	@$(BIN)/pip install --quiet --upgrade --target .schemas/python --no-deps --only-binary :all: --python-version 3.12 \
	    kserve==0.21.0
chaos: venv ## Kill replicas of the release under load, and print what clients saw of it
	@$(BIN)/python -m tests.chaos $(MODEL_OPTIONS) --seconds $(SECONDS) $(call option,--replicas,REPLICAS) $(ARGS)
rollouts: venv ## Deploy and roll back ten times under load, and print what clients saw of it
	@$(BIN)/python -m tests.rollouts $(MODEL_OPTIONS) $(call option,--replicas,REPLICAS) $(ARGS)
canary: venv ## Give a good release and bad ones requests while clients ask, and print what became of each
	@$(BIN)/python -m tests.canary $(MODEL_OPTIONS) $(call option,--replicas,REPLICAS) $(ARGS)
soak: venv ## Send REQUESTS images of mixed sizes to the running service, and watch the memory of its replicas
	@$(BIN)/python -m tests.soak --home $(call quoted,BUILD)/$(call quoted,MODEL) --requests $(REQUESTS) $(ARGS)
bench: venv ## Measure the release over images of DATA: models, pipeline, service, against the stock one, and stages
	@$(BIN)/python -m tests.bench $(MODEL_OPTIONS) $(call option,--data,DATA) $(ARGS)
overhead: venv ## Say what the front door adds to a request with IMAGE over one to a replica
	@$(BIN)/python -m tests.overhead --home $(call quoted,BUILD)/$(call quoted,MODEL) $(call option,--image,IMAGE) $(ARGS)
fuzz: venv ## Send mutated bytes to every parser of what clients send
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)
lint: venv ## Check style, formatting and types; change nothing
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
format: venv ## Repair style and formatting
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
# Material warns of MkDocs 2, which it does not run with and the lock does not have.
docs: venv ## Write the documentation as a site into BUILD/site, without network, and check its links
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --config-file docs/site/mkdocs.yml \
	    --site-dir "$$(realpath --canonicalize-missing $(call quoted,BUILD))/site" $(ARGS)
	@echo $(call quoted,BUILD)/site/index.html
lock: venv ## Resolve setup.cfg into requirements.lock again (ARGS=--upgrade for newer versions)
	@$(BIN)/uv pip compile setup.cfg --all-extras --override requirements-overrides.txt --quiet \
	    --python $(BIN)/python --python-version 3.9 --python-platform x86_64-unknown-linux-gnu \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	    --no-build-isolation-package lac \
	    --output-file requirements.lock $(ARGS)
	@$(BIN)/uv pip compile requirements-device.in --no-deps --quiet \
	    --python $(BIN)/python --python-version 3.9 --python-platform x86_64-unknown-linux-gnu \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	    --output-file requirements-device.lock $(ARGS)
	@$(BIN)/uv pip compile requirements-onnx.in --quiet \
	    --python $(BIN)/python --python-version 3.9 --python-platform x86_64-unknown-linux-gnu \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	    --output-file requirements-onnx.lock $(ARGS)
	@$(BIN)/uv pip compile requirements-pir.in --quiet \
	    --python $(BIN)/python --python-version 3.9 --python-platform x86_64-unknown-linux-gnu \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	    --no-emit-package onnxoptimizer --no-emit-package polygraphy \
	    --output-file requirements-pir.lock $(ARGS)
schema: venv ## Write the JSON schema of pipeline.yml
	@$(TOOLKIT) schema $(ARGS)
clean: venv ## Remove BUILD and the caches; refuses while a service of BUILD runs
	@$(TOOLKIT) clean $(BUILD_OPTIONS) $(ARGS)
