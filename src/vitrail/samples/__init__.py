"""Samples: images with captions, or with a question and its answers, in the formats that people have.

    samples = load_samples("coco/dataset_coco.json", split="val", limit=1000)

| format                              | recognised by                            | id of a sample                  |
|-------------------------------------|------------------------------------------|---------------------------------|
| Toyland, the bundled world          | the word `toyland`                       | the number of the scene         |
| a stream of the hub                 | `stream:` before its name on the hub     | `id`, else a hash of the image  |
| the regions of Visual Genome        | `regions:` before the file's path        | the image's and the region's id |
| WebDataset shards                   | `.tar`, `.tar.gz`, or a folder of them   | the shard's name and the key    |
| a Parquet file                      | its first bytes                          | `id`, else the image as written |
| Flickr's captions                   | lines of `1.jpg#0`, a tab, a caption     | the image as written            |
| a JSONL file                        | `.jsonl`, or an object with an `image`   | `id`, else the image as written |
| a CSV file                          | `.csv`, `.tsv`; a column `image`         | `id`, else the image as written |
| Visual Genome's region descriptions | a list of objects with `regions`         | the image's `id`                |
| a VQAv2 questions JSON              | a `questions` list                       | `question_id`                   |
| COCO's caption annotations          | an `images` and an `annotations` list    | the image's `id`                |
| Karpathy's COCO JSON                | an `images` list, or `dataset_coco.json` | `cocoid`, else `imgid`          |
| classes of images                   | FiftyOne's `labels.json` beside `data/`  | the image as written            |
| a JSON file of records              | a list of objects, or objects by id      | `id`, else the image as written |
| a Hugging Face dataset on disk      | `dataset_dict.json` or `state.json`      | `id`, else a hash of the image  |
| a folder of images with captions    | `metadata.csv`, COCO's `annotations` …   | that of the file                |
| a folder of images                  | the images in it                         | the path below the folder       |
| a Hugging Face dataset              | its name on the hub, `org/name`          | `id`, else a hash of the image  |

Records of JSON, JSONL, CSV, Parquet, shards and Hugging Face datasets have forms of their own (`forms.FORMS`): the
conversations of LLaVA, messages of OpenAI, POPE, GQA, ScienceQA, exports of Label Studio …. Others are read by the
names of their columns (`columns.NAMES`). A pattern ("shards/{000..009}.tar", "data/*.parquet") stands for many files.

A new format is a `Format` in a module of its own, and one line in `load.FORMATS`; a new form of records is one entry of
`forms.FORMS`; another name of a column one word in `columns.NAMES`.

An id comes from the data alone: it depends neither on the order of the records nor on where the folder lies. An image
is opened only when it is needed: a missing one raises in `Sample.open`, not here.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
