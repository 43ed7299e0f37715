# smX: one Makefile, not recursive. `make help` lists the targets.
include GNUmakefile.config

VERSION := 0.1.0
SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
comma := ,

# A sanitizer build lives in its own folder, beside the normal one.
BUILD := build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
BIN := $(BUILD)/bin
LIB := $(BUILD)/lib
OBJ := $(BUILD)/obj

DEBS := gcc make libc6-dev liburcu-dev librocksdb-dev liblmdb-dev python3

WARN := -Wall -Wextra -Wmissing-prototypes -Wshadow -Wvla -Werror
DEFS := -D_GNU_SOURCE -DSMX_VERSION='"$(VERSION)"' -DSMX_CONFDIR='"$(CONFDIR)"' \
	-DSMX_SPOOLDIR='"$(SPOOLDIR)"' -DSMX_LOGDIR='"$(LOGDIR)"' -DSMX_LIBEXECDIR='"$(LIBEXECDIR)"' \
	-DSMX_SMTPS_USER='"$(SMTPS_USER)"' -DSMX_QMGR_USER='"$(QMGR_USER)"' \
	-DSMX_SMTPC_USER='"$(SMTPC_USER)"' -DSMX_SMAR_USER='"$(SMAR_USER)"' \
	-DSMX_OTHER_USER='"$(OTHER_USER)"' -DSM_DNS_MX_MAX=$(SM_DNS_MX_MAX) \
	-DSM_DNS_A_PER_MX_MAX=$(SM_DNS_A_PER_MX_MAX) -DSM_DNS_A_MAX=$(SM_DNS_A_MAX)
SAN := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
ALL_CFLAGS = -std=c17 $(OPT) -fno-plt -pthread $(WARN) $(DEFS) -I. $(SAN) $(CFLAGS)
ALL_LDFLAGS = -pthread -Wl,--as-needed -Wl,-z,relro,-z,now $(SAN) $(LDFLAGS)

# Each folder is one archive; a file that holds main() is a program beside it.
MAINS := proto/smtps_main.c proto/smtpc_main.c queue/qmgr_main.c queue/mailq.c queue/qmgrctl.c \
	queue/cdbctl.c resolver/smar_main.c resolver/createmap.c supervisor/mcp_main.c \
	supervisor/smconf.c supervisor/runas.c bench/smtp-source.c bench/smtp-sink.c
MAINS := $(wildcard $(MAINS))
FOLDERS := core proto queue resolver supervisor bench
prog = $(patsubst %_main,%,$(basename $(notdir $(1))))
PROGRAMS := $(foreach m,$(MAINS),$(BIN)/$(call prog,$(m)))
SCRIPTS := $(patsubst supervisor/%.sh,$(BIN)/%,$(wildcard supervisor/*.sh))
objs = $(patsubst %.c,$(OBJ)/%.o,$(1))
folder_src = $(filter-out $(MAINS),$(wildcard $(1)/*.c))
ARCHIVES := $(foreach f,$(FOLDERS),$(if $(call folder_src,$(f)),$(LIB)/lib$(f).a))

# Loaded when a database is opened (queue/rocks.h), by the name that the linker would use; only tests link it.
ROCKSDB = $(shell objdump -p "$$($(CC) -print-file-name=librocksdb.so)" 2>/dev/null | awk '/SONAME/ { print $$2 }')
$(OBJ)/queue/rocks.o: ALL_CFLAGS += -DSMX_ROCKSDB='"$(or $(ROCKSDB),librocksdb.so)"'

LIBS_core := -lurcu-qsbr -lurcu-cds -lurcu-common
LIBS_queue := -lrocksdb -llmdb
LIBS_resolver := -llmdb

.PHONY: all deps install demo check bench lint fuzz help clean tests
all: $(PROGRAMS) $(SCRIPTS) $(LIB)/shim.so

# ---- objects and archives
$(OBJ)/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Rebuild when a flag changes.
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' > $@
FORCE:

define archive
$(LIB)/lib$(1).a: $(call objs,$(call folder_src,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call archive,$(f))))

define program
$(BIN)/$(call prog,$(1)): $(call objs,$(1)) $(filter $(LIB)/lib$(patsubst %/,%,$(dir $(1))).a,$(ARCHIVES)) $(LIB)/libcore.a
	@mkdir -p $$(@D)
	@echo "  LD $$@"
	@$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS_$(patsubst %/,%,$(dir $(1)))) $(LIBS_core)
endef
$(foreach m,$(MAINS),$(eval $(call program,$(m))))

$(BIN)/%: supervisor/%.sh
	@mkdir -p $(@D)
	@sed -e 's|@CONFDIR@|$(CONFDIR)|g' -e 's|@SPOOLDIR@|$(SPOOLDIR)|g' -e 's|@LOGDIR@|$(LOGDIR)|g' \
		-e 's|@LIBEXECDIR@|$(LIBEXECDIR)|g' -e 's|@BINDIR@|$(BINDIR)|g' \
		-e 's|@SMTPS_USER@|$(SMTPS_USER)|g' -e 's|@QMGR_USER@|$(QMGR_USER)|g' \
		-e 's|@SMTPC_USER@|$(SMTPC_USER)|g' -e 's|@SMAR_USER@|$(SMAR_USER)|g' \
		-e 's|@OTHER_USER@|$(OTHER_USER)|g' $< > $@
	@chmod 755 $@

# The preload shim of the crash tests: never sanitized, it must load into any program.
$(LIB)/shim.so: tests/system/shim.c
	@mkdir -p $(@D)
	@$(CC) -std=c17 -O2 -g $(WARN) -D_GNU_SOURCE -fPIC -shared -o $@ $< -ldl -pthread

# ---- tests: tests/FOLDER/test_*.c mirror the tree and print TAP
TEST_SRC := $(wildcard $(foreach f,$(FOLDERS),tests/$(f)/test_*.c))
TEST_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_SRC))
# queue tests link queue, core and so on; tap.c is shared by all.
$(TEST_BIN): $(BUILD)/tests/%: tests/%.c $(OBJ)/tests/tap.o $(ARCHIVES) $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Itests -MMD -MP -MF $@.d -o $@ $< $(OBJ)/tests/tap.o \
		$(TEST_OBJ) $(filter $(LIB)/lib$(firstword $(subst /, ,$*)).a,$(ARCHIVES)) $(LIB)/libcore.a \
		$(LIBS_$(firstword $(subst /, ,$*))) $(LIBS_core)

# The whole qmgr on a clock of the test's, tests/queue/sim.h: what waits, tells the time or writes goes through it.
SIM_BIN := $(filter $(BUILD)/tests/queue/test_sim_%,$(TEST_BIN))
SIM_OBJ := $(call objs,$(wildcard tests/queue/sim*.c))
SIM_WRAP := clock_gettime epoll_wait ppoll nanosleep pthread_cond_wait pthread_cond_timedwait pthread_cond_signal \
	pthread_cond_broadcast sem_wait sem_clockwait sem_post thread_start thread_join \
	getrandom fdatasync fsync pwrite pwritev unlink rocks_write geteuid loop_timer_after qclock_boot
$(SIM_BIN): $(SIM_OBJ)
$(SIM_BIN): TEST_OBJ := $(SIM_OBJ)
$(SIM_BIN): ALL_LDFLAGS += $(addprefix -Wl$(comma)--wrap=,$(SIM_WRAP))

# The names of the log's folder, with the power cut before each change.
$(BUILD)/tests/queue/test_store_log_cuts: ALL_LDFLAGS += $(addprefix -Wl$(comma)--wrap=,rename unlink fsync)

# ---- fuzz targets: clang runs them, gcc replays their corpora in make check
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_REPLAY := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(FUZZ_SRC))
$(FUZZ_REPLAY): $(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(OBJ)/tests/fuzz/replay.o $(OBJ)/tests/tap.o $(ARCHIVES) $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Itests -o $@ $< $(OBJ)/tests/fuzz/replay.o $(OBJ)/tests/tap.o \
		$(filter %libproto.a %libqueue.a %libresolver.a,$(ARCHIVES)) $(LIB)/libcore.a $(LIBS_queue) $(LIBS_resolver) $(LIBS_core)

FUZZ_SECONDS ?= 60
fuzz: deps
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run

tests: $(TEST_BIN) $(FUZZ_REPLAY)

# make check T=core/line runs one test; T=system/kill one system test.
check: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all tests
	@BUILD=$(BUILD) SANITIZE='$(SANITIZE)' tests/run $(T)

lint: deps
	@tests/lint/run

MESSAGES ?= 20000
demo: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@BUILD=$(BUILD) MESSAGES=$(MESSAGES) bench/demo

bench: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@BUILD=$(BUILD) bench/compare $(BENCH_ARGS)

# ---- Debian packages: installed as root, named otherwise
deps:
	@missing=$$(for p in $(DEBS); do \
		dpkg-query -W -f '$${Status}\n' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		if [ $$(id -u) = 0 ]; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
		else \
			echo "Missing Debian packages. Run as root, then again what you ran:" >&2; \
			echo "  apt-get install" $$missing >&2; exit 1; \
		fi; \
	fi

install: all
	@DESTDIR='$(DESTDIR)' BINDIR='$(BINDIR)' LIBEXECDIR='$(LIBEXECDIR)' LIBDIR='$(LIBDIR)' MANDIR='$(MANDIR)' \
		CONFDIR='$(CONFDIR)' SPOOLDIR='$(SPOOLDIR)' LOGDIR='$(LOGDIR)' BUILD='$(BUILD)' \
		USERS='$(SMTPS_USER) $(QMGR_USER) $(SMTPC_USER) $(SMAR_USER) $(OTHER_USER)' etc/install

help:
	@echo 'make demo     build, start a gateway on loopback, push MESSAGES=20000 through it, show the result'
	@echo 'make check    all tests; T=core/line for one; SANITIZE=address,undefined or thread'
	@echo 'make all      programs in build/bin, libraries in build/lib'
	@echo 'make bench    compare with Postfix in the same run (Postfix as root only)'
	@echo 'make lint     layers, names, lengths, format, static analysis'
	@echo 'make fuzz     run the fuzz targets with clang, FUZZ_SECONDS=60 each'
	@echo 'make deps     install (as root) or name the Debian packages that are missing'
	@echo 'make install  DESTDIR=, PREFIX= and the folders of GNUmakefile.config'
	@echo 'make clean    remove build/'

clean:
	rm -rf build

-include $(shell find $(OBJ) $(BUILD)/tests -name '*.d' 2>/dev/null)
