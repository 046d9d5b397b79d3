"""Samples: images with reference captions, or with a question and its answers, from the formats people have.

    samples = load_samples("coco/dataset_coco.json", split="val", limit=1000)

| source                               | recognised by                             | id of a sample                  |
|--------------------------------------|-------------------------------------------|---------------------------------|
| COCO captions (Karpathy's JSON)      | an `images` list, or `dataset_coco.json`  | `cocoid`, else `imgid`          |
| COCO captions (its own annotations)  | an `images` and an `annotations` list     | the image's `id`                |
| Visual Genome region descriptions    | a list of objects with `regions`          | the image's `id`                |
| each of its regions, cut out         | `regions:` before the file's path         | the image's and the region's id |
| VQAv2 questions (JSON)               | a `questions` list                        | `question_id`                   |
| JSONL, Parquet                       | one object a line; Parquet's first bytes  | `id`, else the image as written |
| CSV (Flickr30k's among them)         | `.csv`, `.tsv`; a column `image`          | `id`, else the image as written |
| WebDataset shards                    | `.tar`, a pattern or a folder of them     | the shard's name and the key    |
| a folder of images                   | the images in it                          | the path below the folder       |
| a Hugging Face dataset (folder, hub) | `dataset_dict.json`, `state.json`; `a/b`  | `id`, else a hash of the image  |
| one that is not downloaded whole     | `stream:` before its name on the hub      | `id`, else a hash of the image  |
| Toyland, the bundled world           | the word `toyland`                        | the number of the scene         |

An id comes from the data alone: never from the order of the records or from where the folder lies. Images are opened
when they are asked for, so a missing one is no error here, but in `Sample.open`.
"""

from vitrail.samples.files import ACCEPTED
from vitrail.samples.folders import IMAGE_SUFFIXES
from vitrail.samples.images import EncodedImage, thumbnail
from vitrail.samples.load import load_samples
from vitrail.samples.sample import Sample
from vitrail.samples.tables import ANSWER_COLUMNS, REFERENCE_COLUMNS, TEXT_COLUMNS

__all__ = [
    "ACCEPTED",
    "ANSWER_COLUMNS",
    "IMAGE_SUFFIXES",
    "REFERENCE_COLUMNS",
    "TEXT_COLUMNS",
    "EncodedImage",
    "Sample",
    "load_samples",
    "thumbnail",
]
