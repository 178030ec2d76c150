# Each line calls the course's own commands; on Windows call those. PYTHON, PORT and CHAPTER may be given.
PYTHON ?= python3
BIN = .venv/bin
COURSE = @$(PYTHON) trlkit/course/learner/environment.py course &&
DEV = @$(PYTHON) trlkit/course/learner/environment.py dev &&

.PHONY: lab test build check grade progress doctor slides site picture constraints
lab: ; $(COURSE) $(BIN)/trlkit lab $(CHAPTER) $(if $(PORT),--port $(PORT))
test: ; $(DEV) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)
build: ; $(COURSE) $(BIN)/trlkit build
check: ; $(COURSE) $(BIN)/trlkit build --check
grade: ; $(COURSE) $(BIN)/trlkit grade $(or $(SUBMITTED),build/submitted)
progress: ; $(COURSE) $(BIN)/trlkit progress
doctor: ; $(COURSE) $(BIN)/trlkit doctor
slides: ; $(DEV) $(BIN)/trlkit slides --pdf
site: ; $(DEV) $(BIN)/trlkit site
picture: ; $(DEV) $(BIN)/python -m trlkit.lab.plotting docs/trl.svg && $(BIN)/python -m trlkit.course.author.badges docs/badges
constraints: ; $(DEV) $(BIN)/python -m trlkit.course.learner.doctor > constraints.new && mv constraints.new constraints.txt
