"""Samples: images with captions, or with a question and its answers, in the formats that people have.

    samples = load_samples("coco/dataset_coco.json", split="val", limit=1000)

| format                               | recognised by                             | id of a sample                  |
|--------------------------------------|-------------------------------------------|---------------------------------|
| Toyland, the bundled world           | the word `toyland`                        | the number of the scene         |
| a stream of the hub                  | `stream:` before its name on the hub      | `id`, else a hash of the image  |
| the regions of Visual Genome         | `regions:` before the file's path         | the image's and the region's id |
| WebDataset shards                    | `.tar`, a pattern or a folder of them     | the shard's name and the key    |
| a Parquet file                       | its first bytes                           | `id`, else the image as written |
| a JSONL file                         | `.jsonl`, or an object with an `image`    | `id`, else the image as written |
| a CSV file                           | `.csv`, `.tsv`; a column `image`          | `id`, else the image as written |
| Visual Genome's region descriptions  | a list of objects with `regions`          | the image's `id`                |
| a VQAv2 questions JSON               | a `questions` list                        | `question_id`                   |
| COCO's caption annotations           | an `images` and an `annotations` list     | the image's `id`                |
| Karpathy's COCO JSON                 | an `images` list, or `dataset_coco.json`  | `cocoid`, else `imgid`          |
| a Hugging Face dataset on disk       | `dataset_dict.json` or `state.json`       | `id`, else a hash of the image  |
| a folder of images                   | the images in it                          | the path below the folder       |
| a Hugging Face dataset               | its name on the hub, `org/name`           | `id`, else a hash of the image  |

A new format is a `Format` in a module of its own, and one line in `load.FORMATS`.

An id comes from the data alone: it depends neither on the order of the records nor on where the folder lies. An image
is opened only when it is needed: a missing one raises in `Sample.open`, not here.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
