"""BibTeX of the works that models and their training stand on, by key; those of the tests stand with the tests."""

__all__ = ["METHODS"]

METHODS: dict[str, str] = {
    "reverie": """@software{reverie,
  author = {{The reverie developers}},
  title = {reverie: generative models for the physical sciences}
}""",
    "pytorch2019": """@inproceedings{pytorch2019,
  author = {Paszke, Adam and Gross, Sam and Massa, Francisco and others},
  title = {{PyTorch}: An Imperative Style, High-Performance Deep Learning Library},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {32}, year = {2019}, eprint = {1912.01703}
}""",
    "goodfellow2014": """@inproceedings{goodfellow2014,
  author = {Goodfellow, Ian and Pouget-Abadie, Jean and Mirza, Mehdi and Xu, Bing and Warde-Farley, David
            and Ozair, Sherjil and Courville, Aaron and Bengio, Yoshua},
  title = {Generative Adversarial Nets},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {27}, year = {2014}, eprint = {1406.2661}
}""",
    "arjovsky2017": """@inproceedings{arjovsky2017,
  author = {Arjovsky, Martin and Chintala, Soumith and Bottou, L{\\'e}on},
  title = {Wasserstein Generative Adversarial Networks},
  booktitle = {Proceedings of the 34th International Conference on Machine Learning},
  year = {2017}, eprint = {1701.07875}
}""",
    "gulrajani2017": """@inproceedings{gulrajani2017,
  author = {Gulrajani, Ishaan and Ahmed, Faruk and Arjovsky, Martin and Dumoulin, Vincent and Courville, Aaron},
  title = {Improved Training of {Wasserstein} {GANs}},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {30}, year = {2017}, eprint = {1704.00028}
}""",
    "mao2017": """@inproceedings{mao2017,
  author = {Mao, Xudong and Li, Qing and Xie, Haoran and Lau, Raymond Y. K. and Wang, Zhen
            and Smolley, Stephen Paul},
  title = {Least Squares Generative Adversarial Networks},
  booktitle = {International Conference on Computer Vision},
  year = {2017}, eprint = {1611.04076}
}""",
    "lim2017": """@misc{lim2017,
  author = {Lim, Jae Hyun and Ye, Jong Chul},
  title = {Geometric {GAN}},
  year = {2017}, eprint = {1705.02894}
}""",
    "petzka2018": """@inproceedings{petzka2018,
  author = {Petzka, Henning and Fischer, Asja and Lukovnikov, Denis},
  title = {On the regularization of {Wasserstein} {GANs}},
  booktitle = {International Conference on Learning Representations},
  year = {2018}, eprint = {1709.08894}
}""",
    "miyato2018": """@inproceedings{miyato2018,
  author = {Miyato, Takeru and Kataoka, Toshiki and Koyama, Masanori and Yoshida, Yuichi},
  title = {Spectral Normalization for Generative Adversarial Networks},
  booktitle = {International Conference on Learning Representations},
  year = {2018}, eprint = {1802.05957}
}""",
    "jolicoeurmartineau2018": """@inproceedings{jolicoeurmartineau2018,
  author = {Jolicoeur-Martineau, Alexia},
  title = {The relativistic discriminator: a key element missing from standard {GAN}},
  booktitle = {International Conference on Learning Representations},
  year = {2019}, eprint = {1807.00734}
}""",
    "mescheder2018": """@inproceedings{mescheder2018,
  author = {Mescheder, Lars and Geiger, Andreas and Nowozin, Sebastian},
  title = {Which Training Methods for {GANs} do actually Converge?},
  booktitle = {Proceedings of the 35th International Conference on Machine Learning},
  year = {2018}, eprint = {1801.04406}
}""",
    "huang2024": """@inproceedings{huang2024,
  author = {Huang, Yiwen and Gokaslan, Aaron and Kuleshov, Volodymyr and Tompkin, James},
  title = {The {GAN} is dead; long live the {GAN}! A Modern {GAN} Baseline},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {37}, year = {2024}, eprint = {2501.05441}
}""",
    "yazici2019": """@inproceedings{yazici2019,
  author = {Yaz{\\i}c{\\i}, Yasin and Foo, Chuan-Sheng and Winkler, Stefan and Yap, Kim-Hui and Piliouras, Georgios
            and Chandrasekhar, Vijay},
  title = {The Unusual Effectiveness of Averaging in {GAN} Training},
  booktitle = {International Conference on Learning Representations},
  year = {2019}, eprint = {1806.04498}
}""",
    "radford2016": """@inproceedings{radford2016,
  author = {Radford, Alec and Metz, Luke and Chintala, Soumith},
  title = {Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks},
  booktitle = {International Conference on Learning Representations},
  year = {2016}, eprint = {1511.06434}
}""",
    "salimans2016": """@inproceedings{salimans2016,
  author = {Salimans, Tim and Goodfellow, Ian and Zaremba, Wojciech and Cheung, Vicki and Radford, Alec and Chen, Xi},
  title = {Improved Techniques for Training {GANs}},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {29}, year = {2016}, eprint = {1606.03498}
}""",
    "salimanskingma2016": """@inproceedings{salimanskingma2016,
  author = {Salimans, Tim and Kingma, Diederik P.},
  title = {Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {29}, year = {2016}, eprint = {1602.07868}
}""",
    "kingma2015": """@inproceedings{kingma2015,
  author = {Kingma, Diederik P. and Ba, Jimmy},
  title = {Adam: A Method for Stochastic Optimization},
  booktitle = {International Conference on Learning Representations},
  year = {2015}, eprint = {1412.6980}
}""",
    "loshchilov2019": """@inproceedings{loshchilov2019,
  author = {Loshchilov, Ilya and Hutter, Frank},
  title = {Decoupled Weight Decay Regularization},
  booktitle = {International Conference on Learning Representations},
  year = {2019}, eprint = {1711.05101}
}""",
    "duchi2011": """@article{duchi2011,
  author = {Duchi, John and Hazan, Elad and Singer, Yoram},
  title = {Adaptive Subgradient Methods for Online Learning and Stochastic Optimization},
  journal = {Journal of Machine Learning Research},
  volume = {12}, pages = {2121--2159}, year = {2011}
}""",
    "zeiler2012": """@misc{zeiler2012,
  author = {Zeiler, Matthew D.},
  title = {{ADADELTA}: An Adaptive Learning Rate Method},
  year = {2012}, eprint = {1212.5701}
}""",
    "karras2020": """@inproceedings{karras2020,
  author = {Karras, Tero and Laine, Samuli and Aittala, Miika and Hellsten, Janne and Lehtinen, Jaakko and Aila, Timo},
  title = {Analyzing and Improving the Image Quality of {StyleGAN}},
  booktitle = {Conference on Computer Vision and Pattern Recognition},
  year = {2020}, eprint = {1912.04958}
}""",
    "kessy2018": """@article{kessy2018,
  author = {Kessy, Agnan and Lewin, Alex and Strimmer, Korbinian},
  title = {Optimal Whitening and Decorrelation},
  journal = {The American Statistician},
  volume = {72}, pages = {309--314}, year = {2018}, eprint = {1512.00809}
}""",
    "nocedal2006": """@book{nocedal2006,
  author = {Nocedal, Jorge and Wright, Stephen J.},
  title = {Numerical Optimization},
  publisher = {Springer}, edition = {2nd}, year = {2006}
}""",
    "mirza2014": """@misc{mirza2014,
  author = {Mirza, Mehdi and Osindero, Simon},
  title = {Conditional Generative Adversarial Nets},
  year = {2014}, eprint = {1411.1784}
}""",
    "miyatokoyama2018": """@inproceedings{miyatokoyama2018,
  author = {Miyato, Takeru and Koyama, Masanori},
  title = {{cGANs} with Projection Discriminator},
  booktitle = {International Conference on Learning Representations},
  year = {2018}, eprint = {1802.05637}
}""",
    "odena2017": """@inproceedings{odena2017,
  author = {Odena, Augustus and Olah, Christopher and Shlens, Jonathon},
  title = {Conditional Image Synthesis with Auxiliary Classifier {GANs}},
  booktitle = {Proceedings of the 34th International Conference on Machine Learning},
  year = {2017}, eprint = {1610.09585}
}""",
    "ronneberger2015": """@inproceedings{ronneberger2015,
  author = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  title = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention},
  year = {2015}, eprint = {1505.04597}
}""",
    "isola2017": """@inproceedings{isola2017,
  author = {Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A.},
  title = {Image-to-Image Translation with Conditional Adversarial Networks},
  booktitle = {Conference on Computer Vision and Pattern Recognition},
  year = {2017}, eprint = {1611.07004}
}""",
    "wuhe2018": """@inproceedings{wuhe2018,
  author = {Wu, Yuxin and He, Kaiming},
  title = {Group Normalization},
  booktitle = {European Conference on Computer Vision},
  year = {2018}, eprint = {1803.08494}
}""",
    "srivastava2014": """@article{srivastava2014,
  author = {Srivastava, Nitish and Hinton, Geoffrey and Krizhevsky, Alex and Sutskever, Ilya
            and Salakhutdinov, Ruslan},
  title = {Dropout: A Simple Way to Prevent Neural Networks from Overfitting},
  journal = {Journal of Machine Learning Research},
  volume = {15}, pages = {1929--1958}, year = {2014}
}""",
    "raschka2019": """@book{raschka2019,
  author = {Raschka, Sebastian and Mirjalili, Vahid},
  title = {Python Machine Learning},
  publisher = {Packt}, year = {2019}
}""",
    "raschka2022": """@book{raschka2022,
  author = {Raschka, Sebastian and Liu, Yuxi and Mirjalili, Vahid},
  title = {Machine Learning with {PyTorch} and {Scikit-Learn}},
  publisher = {Packt}, year = {2022}
}""",
    "breiman1996": """@article{breiman1996,
  author = {Breiman, Leo},
  title = {Bagging predictors},
  journal = {Machine Learning},
  volume = {24}, pages = {123--140}, year = {1996}
}""",
    "azadi2019": """@inproceedings{azadi2019,
  author = {Azadi, Samaneh and Olsson, Catherine and Darrell, Trevor and Goodfellow, Ian and Odena, Augustus},
  title = {Discriminator Rejection Sampling},
  booktitle = {International Conference on Learning Representations},
  year = {2019}, eprint = {1810.06758}
}""",
    "hinton2002": """@article{hinton2002,
  author = {Hinton, Geoffrey E.},
  title = {Training Products of Experts by Minimizing Contrastive Divergence},
  journal = {Neural Computation},
  volume = {14}, pages = {1771--1800}, year = {2002}
}""",
    "tieleman2008": """@inproceedings{tieleman2008,
  author = {Tieleman, Tijmen},
  title = {Training Restricted {Boltzmann} Machines using Approximations to the Likelihood Gradient},
  booktitle = {International Conference on Machine Learning},
  year = {2008}
}""",
    "neal2001": """@article{neal2001,
  author = {Neal, Radford M.},
  title = {Annealed importance sampling},
  journal = {Statistics and Computing},
  volume = {11}, pages = {125--139}, year = {2001}
}""",
    "salakhutdinovmurray2008": """@inproceedings{salakhutdinovmurray2008,
  author = {Salakhutdinov, Ruslan and Murray, Iain},
  title = {On the Quantitative Analysis of Deep Belief Networks},
  booktitle = {International Conference on Machine Learning},
  year = {2008}
}""",
    "melchior2016": """@article{melchior2016,
  author = {Melchior, Jan and Fischer, Asja and Wiskott, Laurenz},
  title = {How to Center Deep {Boltzmann} Machines},
  journal = {Journal of Machine Learning Research},
  volume = {17}, pages = {1--61}, year = {2016}
}""",
    "desjardins2010": """@inproceedings{desjardins2010,
  author = {Desjardins, Guillaume and Courville, Aaron and Bengio, Yoshua
            and Vincent, Pascal and Delalleau, Olivier},
  title = {Parallel Tempering for Training of Restricted {Boltzmann} Machines},
  booktitle = {Artificial Intelligence and Statistics},
  year = {2010}
}""",
    "cho2011": """@inproceedings{cho2011,
  author = {Cho, KyungHyun and Ilin, Alexander and Raiko, Tapani},
  title = {Improved Learning of {Gaussian-Bernoulli} Restricted {Boltzmann} Machines},
  booktitle = {International Conference on Artificial Neural Networks},
  year = {2011}
}""",
    "du2019": """@inproceedings{du2019,
  author = {Du, Yilun and Mordatch, Igor},
  title = {Implicit Generation and Modeling with Energy-Based Models},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019}, eprint = {1903.08689}
}""",
    "vincent2011": """@article{vincent2011,
  author = {Vincent, Pascal},
  title = {A Connection Between Score Matching and Denoising Autoencoders},
  journal = {Neural Computation},
  volume = {23}, pages = {1661--1674}, year = {2011}
}""",
    "roberts1996": """@article{roberts1996,
  author = {Roberts, Gareth O. and Tweedie, Richard L.},
  title = {Exponential convergence of {Langevin} distributions and their discrete approximations},
  journal = {Bernoulli},
  volume = {2}, pages = {341--363}, year = {1996}
}""",
    "kingma2014": """@inproceedings{kingma2014,
  author = {Kingma, Diederik P. and Welling, Max},
  title = {Auto-Encoding Variational {Bayes}},
  booktitle = {International Conference on Learning Representations},
  year = {2014}, eprint = {1312.6114}
}""",
    "rezende2014": """@inproceedings{rezende2014,
  author = {Rezende, Danilo Jimenez and Mohamed, Shakir and Wierstra, Daan},
  title = {Stochastic Backpropagation and Approximate Inference in Deep Generative Models},
  booktitle = {International Conference on Machine Learning},
  year = {2014}, eprint = {1401.4082}
}""",
    "burda2016": """@inproceedings{burda2016,
  author = {Burda, Yuri and Grosse, Roger and Salakhutdinov, Ruslan},
  title = {Importance Weighted Autoencoders},
  booktitle = {International Conference on Learning Representations},
  year = {2016}, eprint = {1509.00519}
}""",
    "rybkin2021": """@inproceedings{rybkin2021,
  author = {Rybkin, Oleh and Daniilidis, Kostas and Levine, Sergey},
  title = {Simple and Effective {VAE} Training with Calibrated Decoders},
  booktitle = {International Conference on Machine Learning},
  year = {2021}, eprint = {2006.13202}
}""",
    "higgins2017": """@inproceedings{higgins2017,
  author = {Higgins, Irina and Matthey, Loic and Pal, Arka and Burgess, Christopher and others},
  title = {beta-{VAE}: Learning Basic Visual Concepts with a Constrained Variational Framework},
  booktitle = {International Conference on Learning Representations},
  year = {2017}
}""",
    "hintonsalakhutdinov2006": """@article{hintonsalakhutdinov2006,
  author = {Hinton, Geoffrey E. and Salakhutdinov, Ruslan R.},
  title = {Reducing the Dimensionality of Data with Neural Networks},
  journal = {Science},
  volume = {313}, pages = {504--507}, year = {2006}
}""",
    "vincent2010": """@article{vincent2010,
  author = {Vincent, Pascal and Larochelle, Hugo and Lajoie, Isabelle and Bengio, Yoshua and Manzagol, Pierre-Antoine},
  title = {Stacked Denoising Autoencoders},
  journal = {Journal of Machine Learning Research},
  volume = {11}, pages = {3371--3408}, year = {2010}
}""",
    "durkan2019": """@inproceedings{durkan2019,
  author = {Durkan, Conor and Bekasov, Artur and Murray, Iain and Papamakarios, George},
  title = {Neural Spline Flows},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019}, eprint = {1906.04032}
}""",
    "papamakarios2017": """@inproceedings{papamakarios2017,
  author = {Papamakarios, George and Pavlakou, Theo and Murray, Iain},
  title = {Masked Autoregressive Flow for Density Estimation},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017}, eprint = {1705.07057}
}""",
    "dinh2017": """@inproceedings{dinh2017,
  author = {Dinh, Laurent and Sohl-Dickstein, Jascha and Bengio, Samy},
  title = {Density estimation using Real {NVP}},
  booktitle = {International Conference on Learning Representations},
  year = {2017}, eprint = {1605.08803}
}""",
    "zuko2022": """@software{zuko2022,
  author = {Rozet, Fran{\\c{c}}ois and others},
  title = {Zuko: Normalizing flows in {PyTorch}},
  year = {2022}, doi = {10.5281/zenodo.7625672}
}""",
}
