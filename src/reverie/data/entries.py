"""The rows of the catalogue: what is known about each data set, without the data.

Columns are written down rather than inferred, because here the physics is known: transverse momenta
are positive, azimuths lie on a circle, the selection cuts in the mass are sharp.
"""

import math
from dataclasses import dataclass

from reverie.data.schema import Column

__all__ = ["ENTRIES", "Entry", "RemoteFile"]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set: path below REVERIE_DATA and the cache, checksum, size in bytes, address.

    The address is empty for a file that was derived from a public one, and must be put into REVERIE_DATA by hand.
    """

    path: str
    sha256: str
    size: int
    url: str


@dataclass(frozen=True)
class Entry:
    """All that the catalogue knows of a data set.

    Parameters
    ----------
    name, title : for lists.
    n_rows : number of events; 0 for simulated sets of any size.
    event_shape : shape of one event of the whole file.
    columns : as in a `Schema`.
    source : address of the people who made it.
    licence : terms as its source states them.
    citation : BibTeX, starting with ``@type{key,``.
    files : what `fetch` fetches.
    parts : names of the parts, the first is the default.
    default_columns : what `load` returns unless told otherwise; empty for all.
    note : what a user should know.
    """

    name: str
    title: str
    n_rows: int
    event_shape: tuple[int, ...]
    columns: tuple[Column, ...]
    source: str
    licence: str
    citation: str
    files: tuple[RemoteFile, ...] = ()
    parts: tuple[str, ...] = ()
    default_columns: tuple[str, ...] = ()
    note: str = ""

    @property
    def key(self) -> str:
        """Citation key of the BibTeX record."""
        return self.citation.partition("{")[2].partition(",")[0]

    def __str__(self) -> str:
        shape = " x ".join(str(n) for n in self.event_shape)
        size = sum(file.size for file in self.files)
        lines = [f"{self.name}: {self.title}", f"events: {self.n_rows or 'any number'}, each {shape}"]
        lines += (
            [f"columns: {', '.join(column.title for column in self.columns)}"] if 1 < len(self.columns) <= 30 else []
        )
        lines += [f"default columns: {', '.join(self.default_columns)}"] if self.default_columns else []
        lines += [f"parts: {', '.join(self.parts)}"] if self.parts else []
        lines += [self.note] if self.note else []
        lines += [f"source: {self.source}", f"licence: {self.licence}"]
        lines += [f"files: {len(self.files)}, {size / 1e6:.1f} MB"] if self.files else []
        return "\n".join([*lines, self.citation])


_CMS = "https://raw.githubusercontent.com/cms-opendata-education/cms-jupyter-materials-english/"
_CMS += "fd23734a71b863d944d44f7dbe9c0d0261c5302b/Data/"
_ARM = "https://raw.githubusercontent.com/mingzhang-yin/ARM-gradient/9b5f74da4e4009c5556e8d7a87c88c8e291c253d/"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_PLIK = "https://raw.githubusercontent.com/heatherprince/planck-lite-py/2c0d0f67e59ce781654cf62dd7fb10757b0e60be/"
_PLIK += "data/planck2018_plik_lite/"
_MAGIC = "https://raw.githubusercontent.com/TanishaSharma01/MAGIC-gamma-hadron-classification/"
_MAGIC += "8895e72ade7e042cc154730da133fa3ec298414c/"
_DISTILLING = "https://raw.githubusercontent.com/gpapamak/distilling_intractable_generative_models/"
_DISTILLING += "419afd8b853179b5cc3412eb8dfaa66917a81bba/outdir/"
_NNPDF = "https://raw.githubusercontent.com/NNPDF/nnpdf/e6c72e55443a46165cdc635015862a1c31dea68a/"
_QUCUMBER = "https://raw.githubusercontent.com/PIQuIL/QuCumber/b2959318eec6b9d20575c5278e5dee7362cc7f5c/examples/"


def _muon(k: int) -> tuple[Column, ...]:
    return (
        Column(f"Type{k}", "categorical", levels=(0, 1), labels=("G", "T"), integral=True, dtype="str"),
        Column(f"E{k}", unit="GeV", lower=0),
        *(Column(f"p{axis}{k}", unit="GeV") for axis in "xyz"),
        Column(f"pt{k}", unit="GeV", lower=0),
        Column(f"eta{k}"),
        Column(f"phi{k}", "periodic", unit="rad", lower=-math.pi, period=2 * math.pi),
        Column(f"Q{k}", "spin", unit="e", dtype="int64"),
    )


def _dimuon(low: float, high: float) -> tuple[Column, ...]:
    numbers = (Column("Run", "integer", dtype="int64"), Column("Event", "integer", dtype="int64"))
    return (*numbers, *_muon(1), *_muon(2), Column("M", "bounded", unit="GeV", lower=low, upper=high))


_KINEMATIC = tuple(f"{name}{k}" for k in (1, 2) for name in ("E", "px", "py", "pz", "pt", "eta", "phi", "Q"))
_DIMUON_NOTE = (
    "Of these columns pt, eta, phi of both muons are independent; E, px, py, pz and M follow from them. "
    "Run, Event, Type1, Type2 can be chosen by name."
)
_DIMUON_BIBTEX = """@misc{cms2011dimuon,
  author       = {{CMS Collaboration}},
  title        = {Events with two muons from the {CMS} open data of 2011 ({Run2011A}), prepared for education},
  howpublished = {cms-opendata-education},
  url          = {https://github.com/cms-opendata-education/cms-jupyter-materials-english},
}"""
_MNIST_BIBTEX = """@article{lecun1998gradient,
  author  = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  title   = {Gradient-based learning applied to document recognition},
  journal = {Proceedings of the IEEE},
  volume  = {86}, number = {11}, pages = {2278--2324}, year = {1998},
}"""
_AIS_BIBTEX = """@inproceedings{salakhutdinov2008quantitative,
  author    = {Salakhutdinov, Ruslan and Murray, Iain},
  title     = {On the quantitative analysis of deep belief networks},
  booktitle = {Proceedings of the 25th International Conference on Machine Learning},
  year      = {2008}, doi = {10.1145/1390156.1390266},
}"""
_QUCUMBER_BIBTEX = """@article{beach2019qucumber,
  author  = {Beach, Matthew J. S. and De Vlugt, Isaac and Golubeva, Anna and Huembeli, Patrick and Kulchytskyy, Bohdan
             and Luo, Xiuzhe and Melko, Roger G. and Merali, Ejaaz and Torlai, Giacomo},
  title   = {{QuCumber}: wavefunction reconstruction with neural networks},
  journal = {SciPost Physics},
  volume  = {7}, pages = {009}, year = {2019}, eprint = {1812.09329}, archivePrefix = {arXiv},
}"""
_VEEGAN_BIBTEX = """@inproceedings{srivastava2017veegan,
  author    = {Srivastava, Akash and Valkov, Lazar and Russell, Chris and Gutmann, Michael U. and Sutton, Charles},
  title     = {{VEEGAN}: Reducing mode collapse in {GANs} using implicit variational learning},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2017}, eprint = {1705.07761}, archivePrefix = {arXiv},
}"""
_CTGAN_BIBTEX = """@inproceedings{xu2019modeling,
  author    = {Xu, Lei and Skoularidou, Maria and Cuesta-Infante, Alfredo and Veeramachaneni, Kalyan},
  title     = {Modeling Tabular Data using Conditional {GAN}},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2019}, eprint = {1907.00503}, archivePrefix = {arXiv},
}"""
_ISING_NOTE = (
    "Derived from the benchmark samples at the source, a bit for each site. Any other lattice: reverie simulate ising."
)
_PLANE = (Column("x"), Column("y"))

_ALL = (
    Entry(
        name="digits",
        title="handwritten digits, 8 x 8 pixels, embedded in scikit-learn",
        n_rows=1797,
        event_shape=(8, 8),
        columns=(Column("pixel", "pixel", lower=0, upper=16, integral=True, dtype="uint8"),),
        source="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        licence="CC BY 4.0",
        citation="""@misc{alpaydin1998optical,
  author = {Alpaydin, E. and Kaynak, C.},
  title  = {Optical Recognition of Handwritten Digits},
  year   = {1998}, howpublished = {UCI Machine Learning Repository}, doi = {10.24432/C50P49},
}""",
    ),
    Entry(
        name="mnist",
        title="handwritten digits, 28 x 28 pixels, 60,000 to train and 10,000 to test",
        n_rows=60000,
        event_shape=(28, 28),
        columns=(Column("pixel", "pixel", lower=0, upper=255, integral=True, dtype="uint8"),),
        source=_MNIST,
        licence="commonly cited as CC BY-SA 3.0",
        citation=_MNIST_BIBTEX,
        files=(
            RemoteFile(
                "mnist/train-images-idx3-ubyte.gz",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                9912422,
                _MNIST + "train-images-idx3-ubyte.gz",
            ),
            RemoteFile(
                "mnist/t10k-images-idx3-ubyte.gz",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                1648877,
                _MNIST + "t10k-images-idx3-ubyte.gz",
            ),
            RemoteFile(
                "mnist/train-labels-idx1-ubyte.gz",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                28881,
                _MNIST + "train-labels-idx1-ubyte.gz",
            ),
            RemoteFile(
                "mnist/t10k-labels-idx1-ubyte.gz",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                4542,
                _MNIST + "t10k-labels-idx1-ubyte.gz",
            ),
        ),
        parts=("train", "test"),
    ),
    Entry(
        name="binarized_mnist",
        title="MNIST with pixels 0 or 1, the fixed binarisation of Larochelle",
        n_rows=50000,
        event_shape=(28, 28),
        columns=(Column("pixel", "pixel", lower=0, upper=1, integral=True, dtype="uint8"),),
        source="https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
        licence="commonly cited as CC BY-SA 3.0 (as MNIST)",
        citation=_AIS_BIBTEX,
        files=(
            RemoteFile(
                "binarized_mnist/binarized_mnist_train.mat",
                "79a0312c7389d855cfc97e3812de3998417c5829d8a51543b56a90a91252ae7e",
                2852060,
                _ARM + "binarized_mnist_train.amat",
            ),
            RemoteFile(
                "binarized_mnist/binarized_mnist_valid.mat",
                "7436afc856959075c7787025bb8a4ba2b520b9230ee39667c66aa7dd2819dd68",
                571883,
                _ARM + "binarized_mnist_valid.amat",
            ),
            RemoteFile(
                "binarized_mnist/binarized_mnist_test.mat",
                "5bc30222e1e7896cbccd1e1db6b28540cc1230f4d2d5473841a5f6cc54be8d38",
                490132,
                _ARM + "binarized_mnist_test.amat",
            ),
        ),
        parts=("train", "valid", "test"),
    ),
    Entry(
        name="rbm_cd25_500",
        title="a published Boltzmann machine of 500 hidden units, and the binary MNIST that it was trained on",
        n_rows=60000,
        event_shape=(28, 28),
        columns=(Column("pixel", "pixel", lower=0, upper=1, integral=True, dtype="uint8"),),
        source="https://github.com/gpapamak/distilling_intractable_generative_models",
        licence="BSD-2-Clause (weights); MNIST is commonly cited as CC BY-SA 3.0",
        citation=_AIS_BIBTEX,
        files=(
            RemoteFile(
                "rbm_cd25_500/randomly_binarized_mnist.mat",
                "de1a93505c4561bbc3e3e2fbb6d911e31fb0e840bcea5f7c010848fba7d4f89a",
                3307942,
                _DISTILLING + "randomly_binarized_mnist.mat",
            ),
            RemoteFile(
                "rbm_cd25_500/rbm_cd25_500.npz",
                "f412300d2134b7dbd43281120a56d907d9cb2a24340eba52a052dd2e39d45e1f",
                3012494,
                "",
            ),
        ),
        parts=("train", "test"),
        note="Another binarisation than binarized_mnist. load_weights gives the machine for RBM.from_weights; its file "
        "holds W, a and b of rbm_CD25_500.mat at the source.",
    ),
    Entry(
        name="dimuon_z",
        title="CMS events with two muons around the Z mass, 7 TeV",
        n_rows=10851,
        event_shape=(21,),
        columns=_dimuon(60, 120),
        source="https://github.com/cms-opendata-education/cms-jupyter-materials-english",
        licence="CC0 / CC BY 4.0 (CMS open data)",
        citation=_DIMUON_BIBTEX,
        files=(
            RemoteFile(
                "cms_dimuon/Zmumu_Run2011A_masses.csv",
                "d98a77a17049d9e91eedd74c9824a714c7c98188095547cb7f6abf9a1e14c5bc",
                1641992,
                _CMS + "Zmumu_Run2011A_masses.csv",
            ),
        ),
        default_columns=(*_KINEMATIC, "M"),
        note=_DIMUON_NOTE,
    ),
    Entry(
        name="dimuon_upsilon",
        title="CMS events with two muons around the Upsilon mass, 7 TeV",
        n_rows=19519,
        event_shape=(21,),
        columns=_dimuon(9.0, 9.7),
        source="https://github.com/cms-opendata-education/cms-jupyter-materials-english",
        licence="CC0 / CC BY 4.0 (CMS open data)",
        citation=_DIMUON_BIBTEX,
        files=(
            RemoteFile(
                "cms_dimuon/peakdata3.csv",
                "230c776ac457783ce2cf5c38807ff05e1e3c8f737e8b2386a765df2adebb7906",
                3660706,
                _CMS + "peakdata3.csv",
            ),
        ),
        default_columns=(*_KINEMATIC, "M"),
        note=_DIMUON_NOTE,
    ),
    Entry(
        name="magic",
        title="simulated air showers in the MAGIC telescope: ten image parameters and the class",
        n_rows=19020,
        event_shape=(11,),
        columns=(
            Column("fLength", unit="mm", lower=0),
            Column("fWidth", unit="mm", lower=0, atom=0),
            Column("fSize", unit="log10(photons)"),
            Column("fConc", "bounded", lower=0, upper=1),
            Column("fConc1", "bounded", lower=0, upper=1),
            Column("fAsym", unit="mm"),
            Column("fM3Long", unit="mm"),
            Column("fM3Trans", unit="mm"),
            Column("fAlpha", "bounded", unit="deg", lower=0, upper=90),
            Column("fDist", unit="mm", lower=0),
            Column("class", "categorical", levels=(0, 1), labels=("g", "h"), integral=True, dtype="str"),
        ),
        source="https://archive.ics.uci.edu/dataset/159/magic+gamma+telescope",
        licence="CC BY 4.0",
        citation="""@misc{bock2004magic,
  author = {Bock, R.},
  title  = {{MAGIC} Gamma Telescope},
  year   = {2004}, howpublished = {UCI Machine Learning Repository}, doi = {10.24432/C52C8B},
}""",
        files=(
            RemoteFile(
                "magic_gamma/magic04.data",
                "e9314b7ebd4b4b59a3b3d65f7316663963777b16a46786877651dbbaa640b36a",
                1477391,
                _MAGIC + "magic04.data",
            ),
        ),
        note="Class g is a gamma ray (signal), h a hadron (background).",
    ),
    Entry(
        name="planck_plik_lite",
        title="Planck 2018 CMB power spectra in 613 bins, with covariance",
        n_rows=613,
        event_shape=(4,),
        columns=(
            Column("multipole", lower=0),
            Column("C_l", unit="uK^2"),
            Column("sigma", unit="uK^2", lower=0),
            Column("spectrum", "categorical", levels=(0, 1, 2), labels=("TT", "TE", "EE"), integral=True, dtype="str"),
        ),
        source="https://pla.esac.esa.int/#cosmology",
        licence="no licence file; Planck Legacy Archive (ESA)",
        citation="""@article{planck2020likelihoods,
  author  = {{Planck Collaboration}},
  title   = {Planck 2018 results. {V}. {CMB} power spectra and likelihoods},
  journal = {Astronomy and Astrophysics},
  volume  = {641}, pages = {A5}, year = {2020}, eprint = {1907.12875}, archivePrefix = {arXiv},
}""",
        files=(
            RemoteFile(
                "planck2018/cl_cmb_plik_v22.dat",
                "dac0d9d493213e77c940a10a968cf0da3c5730bae60e1356c4cd8bcff96377ff",
                37393,
                _PLIK + "cl_cmb_plik_v22.dat",
            ),
            RemoteFile(
                "planck2018/c_matrix_plik_v22.dat",
                "ad90378c50bd67841764179c90ae6711fa4317c649966ab2b0712143b31e0a32",
                3006160,
                _PLIK + "c_matrix_plik_v22.dat",
            ),
        ),
        note="One measured vector, not events: a target for samplers. load_covariance gives its 613 x 613 matrix.",
    ),
    Entry(
        name="theory_covariance",
        title="205 x 205 covariance of theory errors of a fit of parton distributions, from scale variations",
        n_rows=205,
        event_shape=(205,),
        columns=tuple(Column(f"point{i}") for i in range(205)),
        source="https://github.com/NNPDF/nnpdf",
        licence="GPL-3.0 (repository)",
        citation="""@article{abdulkhalek2019theory,
  author  = {{NNPDF Collaboration} and Abdul Khalek, Rabah and others},
  title   = {Parton distributions with theory uncertainties: general formalism and first phenomenological studies},
  journal = {European Physical Journal C},
  volume  = {79}, pages = {931}, year = {2019}, eprint = {1906.10698}, archivePrefix = {arXiv},
}""",
        files=(
            RemoteFile(
                "covariance/theory_covmat_custom.csv",
                "ed3e43647a74cd7f58eeb5724c541eaef4623e912b629b5b69b8ae474e9b25c0",
                597051,
                _NNPDF + "extra_tests/regression_fits/setupfits/thcovmat/tables/"
                "datacuts_theory_theorycovmatconfig_theory_covmat_custom.csv",
            ),
        ),
        note="A matrix, not events: reverie explore theory_covariance --covariance.",
    ),
    Entry(
        name="drell_yan_covariance",
        title="132 x 132 covariance of the double-differential Drell-Yan cross section of CMS, 7 TeV",
        n_rows=132,
        event_shape=(132,),
        columns=tuple(Column(f"bin{i}") for i in range(132)),
        source="https://github.com/NNPDF/nnpdf",
        licence="GPL-3.0 (repository)",
        citation="""@article{cms2013drellyan,
  author  = {{CMS Collaboration}},
  title   = {Measurement of the differential and double-differential {Drell-Yan} cross sections in proton-proton
             collisions at 7 {TeV}},
  journal = {Journal of High Energy Physics},
  volume  = {12}, pages = {030}, year = {2013}, eprint = {1310.7291}, archivePrefix = {arXiv},
}""",
        files=(
            RemoteFile(
                "covariance/CMS_Z0_7TEV_DIMUON_covmat.corr",
                "cc42a72796584de60dd1177815d6b33d04ef784cddda894164820341aeaf4181",
                211615,
                _NNPDF + "nnpdf_data/nnpdf_data/commondata/CMS_Z0_7TEV_DIMUON/rawdata/covmat.corr",
            ),
        ),
        note="A matrix, not events: reverie explore drell_yan_covariance --covariance.",
    ),
    Entry(
        name="ising_4x4",
        title="spins of the two-dimensional Ising model on 4 x 4 sites at the critical temperature, periodic",
        n_rows=100_000,
        event_shape=(4, 4),
        columns=(Column("spin", "spin", dtype="int8"),),
        source="https://github.com/PIQuIL/QuCumber",
        licence="Apache-2.0",
        citation=_QUCUMBER_BIBTEX,
        files=(
            RemoteFile(
                "ising2d/L4.npz",
                "a9d273ca264e79760a92b1706a5f55b9023451d157f39c09e2929a42a401991a",
                105457,
                "",
            ),
        ),
        note=_ISING_NOTE,
    ),
    Entry(
        name="ising_8x8",
        title="spins of the two-dimensional Ising model on 8 x 8 sites at the critical temperature, periodic",
        n_rows=100_000,
        event_shape=(8, 8),
        columns=(Column("spin", "spin", dtype="int8"),),
        source="https://github.com/PIQuIL/QuCumber",
        licence="Apache-2.0",
        citation=_QUCUMBER_BIBTEX,
        files=(
            RemoteFile(
                "ising2d/L8.npz",
                "a8c3bf4aa21e83b3c200cde4a558d8d9edac148e9d99a16ba6d196a1ffc698ea",
                447287,
                "",
            ),
        ),
        note=_ISING_NOTE,
    ),
    Entry(
        name="tfim1d",
        title="measurements of ten spins of the transverse field Ising chain in its critical ground state",
        n_rows=10_000,
        event_shape=(10,),
        columns=tuple(Column(f"bit{i}", "integer", lower=0, upper=1, integral=True, dtype="int64") for i in range(10)),
        source="https://github.com/PIQuIL/QuCumber",
        licence="Apache-2.0",
        citation=_QUCUMBER_BIBTEX,
        files=(
            RemoteFile(
                "qucumber/tfim1d_data.txt",
                "1a27d2c5516772d33abb2882e426fa9c336532262315fec023b4c763e11a076c",
                210000,
                _QUCUMBER + "Tutorial1_TrainPosRealWaveFunction/tfim1d_data.txt",
            ),
            RemoteFile(
                "qucumber/tfim1d_psi.txt",
                "7fc13543ab5f6bff51d0b2a1a7c9e7b9da52e886130f0aa0e9fd49d53e002ddc",
                26625,
                _QUCUMBER + "Tutorial1_TrainPosRealWaveFunction/tfim1d_psi.txt",
            ),
        ),
        note="Open chain, J = h = 1; the spin is 1 - 2 bit. load_state gives its 1024 amplitudes.",
    ),
    Entry(
        name="qubits",
        title="measurements of two qubits in five bases, of a state with complex amplitudes",
        n_rows=1000,
        event_shape=(2,),
        columns=tuple(Column(f"bit{i}", "integer", lower=0, upper=1, integral=True, dtype="int64") for i in range(2)),
        source="https://github.com/PIQuIL/QuCumber",
        licence="Apache-2.0",
        citation=_QUCUMBER_BIBTEX,
        files=(
            RemoteFile(
                "qucumber/qubits_train.txt",
                "379f93ecc6729c79c0a66ded4d75e14e3dcf608da4396870dec4c85bc788eaad",
                5000,
                _QUCUMBER + "Tutorial2_TrainComplexWaveFunction/qubits_train.txt",
            ),
            RemoteFile(
                "qucumber/qubits_psi.txt",
                "d0bb793921ffac2e716f490b3d9b4a1504e78258d751fdba3347469dad53ba88",
                109,
                _QUCUMBER + "Tutorial2_TrainComplexWaveFunction/qubits_psi.txt",
            ),
            RemoteFile(
                "qucumber/qubits_train_bases.txt",
                "47653aa6d7193b40c2fcf717db0ee396e6c1ce316fa408c0d095cfbfb60d8e95",
                5000,
                _QUCUMBER + "Tutorial2_TrainComplexWaveFunction/qubits_train_bases.txt",
            ),
        ),
        note="Bases ZZ, XZ, ZX, YZ, ZY, 200 rows each: load_bases. load_state gives the four amplitudes.",
    ),
    Entry(
        name="ring",
        title="simulated: 8 narrow Gaussians on a circle",
        n_rows=0,
        event_shape=(2,),
        columns=_PLANE,
        source="drawn by reverie.data.toys",
        licence="BSD-3-Clause",
        citation=_VEEGAN_BIBTEX,
    ),
    Entry(
        name="grid",
        title="simulated: 25 narrow Gaussians on a 5 x 5 grid",
        n_rows=0,
        event_shape=(2,),
        columns=_PLANE,
        source="drawn by reverie.data.toys",
        licence="BSD-3-Clause",
        citation=_VEEGAN_BIBTEX,
    ),
    Entry(
        name="broad_ring",
        title="simulated: 8 Gaussians of variance 0.05 on a circle",
        n_rows=0,
        event_shape=(2,),
        columns=_PLANE,
        source="drawn by reverie.data.toys",
        licence="BSD-3-Clause",
        citation=_CTGAN_BIBTEX,
    ),
    Entry(
        name="broad_grid",
        title="simulated: 25 Gaussians of variance 0.05 on a 5 x 5 grid",
        n_rows=0,
        event_shape=(2,),
        columns=_PLANE,
        source="drawn by reverie.data.toys",
        licence="BSD-3-Clause",
        citation=_CTGAN_BIBTEX,
    ),
    Entry(
        name="shifted_grid",
        title="simulated: 25 Gaussians of variance 0.05 on a 5 x 5 grid with displaced centres",
        n_rows=0,
        event_shape=(2,),
        columns=_PLANE,
        source="drawn by reverie.data.toys",
        licence="BSD-3-Clause",
        citation=_CTGAN_BIBTEX,
    ),
    Entry(
        name="swiss_roll",
        title="simulated: a noisy spiral",
        n_rows=0,
        event_shape=(2,),
        columns=_PLANE,
        source="drawn by reverie.data.toys",
        licence="BSD-3-Clause",
        citation="""@inproceedings{gulrajani2017improved,
  author    = {Gulrajani, Ishaan and Ahmed, Faruk and Arjovsky, Martin and Dumoulin, Vincent and Courville, Aaron},
  title     = {Improved training of {Wasserstein} {GANs}},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2017}, eprint = {1704.00028}, archivePrefix = {arXiv},
}""",
    ),
)

ENTRIES: dict[str, Entry] = {found.name: found for found in _ALL}
