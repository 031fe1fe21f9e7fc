"""The files of a folder ready for deployment that are the same for every model, but for a few words."""

from __future__ import annotations

PREDICT = '''"""Print one line of JSON for each image of the folders and files given as arguments."""

import sys

from drivetrain import load

model = load("artifact")
for answer in model.predict(sys.argv[1:] or ["images"], stream=True):
    print(answer.to_json(), flush=True)
'''
DOCKERFILE = """FROM python:3.12-slim
WORKDIR /app
{wheel}COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY artifact artifact
COPY predict.py .
ENTRYPOINT ["python", "predict.py"]
"""
DOCKER_README = """# {name}

{what}, in a container without PyTorch.

```
docker build -t {tag} .
docker run --rm -v /path/to/images:/app/images {tag}
```

It prints one line of JSON for each image. Without Docker:
`pip install -r requirements.txt && python predict.py IMAGES`.
"""
SERVER_README = """# {name}

{what}, for OpenVINO Model Server: `models/{name}/1` is the model, `config.json` the configuration of the server.

```
docker run --rm -p 9000:9000 -p 8000:8000 -v "$PWD":/deploy openvino/model_server:latest \\
    --config_path /deploy/config.json --port 9000 --rest_port 8000
```

Input `{input}`: {input_form}. Outputs: {outputs}.
`{manifest}` in `artifact` describes how they are decoded; `drivetrain.load("artifact")` decodes them, without a server.
"""
