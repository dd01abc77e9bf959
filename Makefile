# The verbs that CI runs. Each works in any environment whose `python` has what it needs; `make install` makes one in .venv.
PYTHON ?= .venv/bin/python
PARALLEL = -n 3 --dist worksteal  # for two cores: many tests wait, and files stay in one process with their servers

.PHONY: install check lint types test slow coverage faults faults-short granian recipe proxies browser node providers clients deploy demo wheel bench docs pins clean apis develop

install:            ## a development environment in .venv
	python3 -m venv .venv
	.venv/bin/pip install -q -e '.[demo,test,browser,lint,otel]'

check: lint types test

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m mypy

test:               ## the default suite: under five minutes on two cores
	$(PYTHON) -m pytest $(PARALLEL)

slow:               ## what the default suite leaves out: gigabytes, ten thousand aborts, Sentinel failover
	$(PYTHON) -m pytest -m slow -n 2 --dist worksteal

coverage:           ## how much of each module its own tests run, in two processes; below a floor it fails
	$(PYTHON) scripts/coverage_by_module.py

granian:            ## journeys once more, under another ASGI server
	BFF_TEST_SERVER=granian $(PYTHON) -m pytest $(PARALLEL) tests/journeys tests/http

recipe:             ## journeys and raw HTTP once more with the lane off
	BFF_LANE=off $(PYTHON) -m pytest $(PARALLEL) tests/journeys tests/http

proxies:            ## smuggling through nginx, HAProxy and Envoy in front; Node, Go, uvicorn and nginx behind
	$(PYTHON) -m pytest -m proxies -n 2 tests/proxies

faults-short:       ## no fault ends a session: the fault suite's short form, for CI, about ten minutes
	$(PYTHON) -m pytest -m faults -n 0 -s tests/faults

faults:             ## the same with long faults, and three runs in a row
	for run in 1 2 3; do FAULTS=long $(PYTHON) -m pytest -m faults -n 0 -s tests/faults || exit 1; done

browser:            ## pages in the system's Chromium; with Node, the tutorial's app by Vite too
	if command -v npm >/dev/null; then npm install --no-audit --no-fund --no-package-lock --silent --prefix tests/browser/vite; fi
	if command -v npm >/dev/null; then npm install --no-audit --no-fund --no-package-lock --silent --prefix tests/browser/workers; fi
	$(PYTHON) -m pytest -m browser tests/browser

node:               ## the certified npm `oidc-provider`
	npm install --no-audit --no-fund --silent --prefix tests/node
	$(PYTHON) -m pytest -m node tests/node

KEYCLOAK ?= 26.7.3
CANAILLE ?= 0.3.6
DJANGO_TOOLKIT ?= 3.4.1
COPY = mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -DoutputDirectory=build/providers

providers:          ## whole providers: Keycloak (Java 17, Maven), Debian's glewlwyd and LemonLDAP::NG, Canaille and Django OAuth Toolkit (Python), Zitadel's library (Go), Spring's server; what is missing is skipped
	if command -v mvn >/dev/null && [ ! -d build/providers/keycloak-$(KEYCLOAK) ]; then \
	  $(COPY) -Dartifact=org.keycloak:keycloak-quarkus-dist:$(KEYCLOAK):zip \
	  && $(PYTHON) -m zipfile -e build/providers/keycloak-quarkus-dist-$(KEYCLOAK).zip build/providers \
	  && rm build/providers/*.zip || echo "Keycloak $(KEYCLOAK) cannot be fetched"; fi
	if command -v go >/dev/null; then \
	  cd tests/providers/zitadel && go build -o $(CURDIR)/build/providers/zitadel . || echo "Zitadel's library cannot be fetched"; fi
	if command -v mvn >/dev/null; then \
	  mvn -B -q -f tests/providers/spring/pom.xml package || echo "Spring Authorization Server cannot be fetched"; fi
	if [ ! -d build/providers/canaille ]; then \
	  $(PYTHON) -m venv build/providers/canaille \
	  && build/providers/canaille/bin/pip install -q 'canaille[front,oidc,server,sqlite]==$(CANAILLE)' \
	  || { rm -rf build/providers/canaille; echo "Canaille $(CANAILLE) cannot be fetched"; }; fi
	if [ ! -d build/providers/django ]; then \
	  $(PYTHON) -m venv build/providers/django \
	  && build/providers/django/bin/pip install -q 'django-oauth-toolkit==$(DJANGO_TOOLKIT)' \
	  || { rm -rf build/providers/django; echo "Django OAuth Toolkit $(DJANGO_TOOLKIT) cannot be fetched"; }; fi
	$(PYTHON) -m pytest -m providers -n 0 -rs tests/providers

clients:            ## the browser client and its React binding: types and logic; the wheel's copy (needs Node)
	for client in javascript react; do \
	  (cd clients/$$client && npm install --no-audit --no-fund --no-package-lock --silent && npm run --silent types && npm test --silent) || exit 1; \
	done
	cp clients/javascript/client.js src/bff/web/client.js

apis:               ## real frameworks behind the gateway: FastAPI, Tornado, Streamlit, Express, tus, socket.io, Go, Spring
	$(PYTHON) -m pip install -q -e '.[apis]'
	if command -v npm >/dev/null; then npm install --no-audit --no-fund --no-package-lock --silent --prefix tests/apis/node; fi
	if command -v go >/dev/null; then cd tests/apis/go && go build -o $(CURDIR)/build/apis-go . && go build -o $(CURDIR)/build/apis-go-verifying ./verifying; fi
	if command -v mvn >/dev/null; then mvn -B -q -f tests/apis/spring/pom.xml package || echo "Spring Boot cannot be fetched"; fi
	$(PYTHON) -m pytest -m apis tests/apis

develop:            ## real development servers before and behind the gateway: Vite, Next, Angular (needs Node)
	for place in tests/browser/vite tests/develop/next tests/develop/angular; do \
	  npm install --no-audit --no-fund --no-package-lock --silent --prefix $$place || echo "$$place cannot be installed"; done
	timeout 900 $(PYTHON) -m pytest -m develop -n 0 -rs tests/develop

HELM = helm.sh/helm/v3/cmd/helm@v3.19.5

deploy:             ## deploy/ by the tools of its field; helm is built by Go where it is not on the PATH
	$(PYTHON) -m pip install -q -e '.[deploy]'
	command -v helm >/dev/null || test -x build/bin/helm || GOBIN=$(CURDIR)/build/bin go install $(HELM)
	if command -v go >/dev/null; then cd tests/deploy/rules && go build -o $(CURDIR)/build/bin/checkrules .; fi
	$(PYTHON) -m pytest -m deploy tests/deploy

demo:
	$(PYTHON) -m bff demo

wheel:              ## build, install into a new environment, walk through the demo there; then once more by the pins
	rm -rf dist build/wheel-env build/pinned-env
	$(PYTHON) -m pip wheel -q --no-deps -w dist .
	python3 -m venv build/wheel-env
	build/wheel-env/bin/pip install -q "$$(ls dist/bff_gateway-*.whl)[demo]"
	build/wheel-env/bin/bff demo --check
	python3 -m venv build/pinned-env
	build/pinned-env/bin/pip install -q --require-hashes -r requirements/runtime.txt
	build/pinned-env/bin/pip install -q --no-deps dist/bff_gateway-*.whl
	build/pinned-env/bin/pip check
	build/pinned-env/bin/bff --version

bench:              ## see docs/performance.md for what it wants installed
	$(PYTHON) -m bench $(BENCH)

docs:               ## docs/compliance.md, from the marks of the tests, and the trace in docs/explanation/walks.md
	$(PYTHON) scripts/compliance.py
	$(PYTHON) scripts/trace_call.py --write

PIN = $(PYTHON) -m piptools compile -q --generate-hashes --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header pyproject.toml

pins:               ## requirements/*.txt, hashed, without index lines
	$(PIN) -o requirements/runtime.txt
	$(PIN) -o requirements/build.txt --build-deps-for wheel --only-build-deps
	$(PIN) -o requirements/development.txt --extra demo --extra test --extra browser --extra lint --extra otel

clean:
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
