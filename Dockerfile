# The course in a container: docker build -t trl . && docker run --rm -p 8888:8888 -v "$PWD/notebooks:/course/notebooks" trl
FROM python:3.11-slim

RUN useradd --create-home learner && mkdir /course && chown learner /course
USER learner
WORKDIR /course
ENV PATH=/home/learner/venv/bin:$PATH
RUN python -m venv /home/learner/venv

# The package's texts first: a changed notebook does not install everything anew.
COPY --chown=learner pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=learner trlkit ./trlkit
RUN pip install --no-cache-dir --editable ".[course]" --constraint constraints.txt

COPY --chown=learner . .
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser", "--notebook-dir=notebooks"]
