"""Series that must be refused, each with the reason and a pattern of its line."""

from dataclasses import replace

from mr_series import PLANES, classic, diffusion, enhanced, oblique, phantom
from pydicom.uid import MPEG2MPML, EnhancedMRColorImageStorage, JPEGLSNearLossless, RLELossless

from custom.deploy.dicom.writing.derivation import coded

CASES = {}


def case(reason, match=None):
    """Register a maker of data sets that must be refused for a reason."""

    def register(make):
        CASES[make.__name__] = (make, reason, match)
        return make

    return register


def changed(index=None, **values):
    """A plain series in which some attributes are others (of one image, or of all)."""
    images = classic(phantom())
    for image in images if index is None else [images[index]]:
        for keyword, value in values.items():
            if value is None:
                delattr(image, keyword)
            else:
                setattr(image, keyword, value)
    return images


@case("not-mr", "the series is CT")
def another_modality():
    return changed(Modality="CT")


@case("not-mr", "Enhanced MR Color")
def another_class():
    return changed(SOPClassUID=EnhancedMRColorImageStorage)


@case("colour", "RGB, 3 samples")
def colour():
    return changed(SamplesPerPixel=3, PhotometricInterpretation="RGB")


@case("localiser", "Image Type has LOCALIZER")
def localiser_by_name():
    return changed(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


@case("localiser", "planes at right angles .2 orientations")
def localiser_by_planes():
    other = replace(phantom(shape=(7, 6, 4)), plane=PLANES["coronal"])
    images = classic(phantom(shape=(7, 6, 4)))
    turned = classic(replace(other, uid=images[0].SeriesInstanceUID))
    return images + turned


@case("several-orientations", "2 orientations")
def two_stacks():
    first = phantom()
    return classic(first) + classic(replace(first, plane=oblique((5, 3, 0))))


@case("several-frames-of-reference")
def two_spaces():
    return changed(2, FrameOfReferenceUID="1.2.3.9")


@case("missing-slices", "1 slice is missing: after slice 2 of 4 .45.2 mm.* gap is 5 mm and not 2.5")
def a_gap():
    images = classic(phantom(origin=(0, 0, 42.75)))
    del images[2]
    return images


@case("missing-slices", "the step is 5 mm, and SpacingBetweenSlices .0018,0088. 2.5 mm")
def every_other():
    return classic(phantom())[::2]


@case("irregular-spacing", "the steps are 2.2 to 2.8 mm")
def uneven():
    images = classic(phantom())
    images[2].ImagePositionPatient[2] += 0.3
    return images


@case("irregular-spacing", "shifted within their plane by up to 0.4 mm")
def crooked():
    images = classic(phantom())
    images[2].ImagePositionPatient[0] += 0.4
    return images


@case("shear", "sheared by 21.8 degrees")
def gantry():
    return classic(phantom(step=(0, 1.0, 2.5)))


@case("single-slice")
def one_slice():
    return classic(phantom(shape=(7, 6, 1)))


@case("duplicate-positions", r"5 of 5 .*up to 2., which differ in EchoTime \(3.5, 20")
def echoes():
    of = phantom()
    return classic(of) + classic(of, EchoTime=20)


@case("duplicate-positions", r"differ in TemporalPositionIdentifier \(1, 2, 3\)")
def dynamic():
    of = phantom()
    return [one for time in (1, 2, 3) for one in classic(of, TemporalPositionIdentifier=time)]


@case("duplicate-positions", "differ in DiffusionBValue")
def weighted():
    return diffusion(phantom(), [(0, (0, 0, 0)), (1000, (1, 0, 0))])


@case("duplicate-positions", "1 of 5 slice positions .* the same image more than once")
def sent_twice():
    images = classic(phantom())
    return [*images, images[0]]


@case("duplicate-positions", "differ in TemporalPositionIndex")
def enhanced_dynamic():
    return [enhanced(phantom(), table=[(None, None), (None, None)])]


@case("missing-attribute", r"PixelSpacing \(0028,0030\) is missing or unreadable in 1 of 5")
def no_spacing():
    return changed(3, PixelSpacing=None)


@case("missing-attribute", r"ImageOrientationPatient \(0020,0037\) is missing")
def no_orientation():
    return changed(ImageOrientationPatient=None)


@case("missing-attribute", r"ImagePositionPatient \(0020,0032\)")
def no_position():
    return changed(1, ImagePositionPatient=[1.0, 2.0])


@case("missing-attribute", "PixelSpacing .* is not positive")
def no_size():
    return changed(PixelSpacing=[0.0, 1.0])


@case("differing-grid", r"PixelSpacing .* differs between the images \(\[0.7, 0.7\]")
def two_spacings():
    return changed(0, PixelSpacing=[0.7, 0.7])


@case("differing-grid", "Rows .* differs")
def two_sizes():
    first = phantom(shape=(7, 6, 5))
    second = replace(first, stored=first.stored[:, :5])
    return classic(first)[:3] + classic(second)[3:]


@case("invalid-orientation")
def no_right_angle():
    return changed(ImageOrientationPatient=[1, 0, 0, 0.5, 0.8660254, 0])


@case("not-magnitude", "5 phase")
def phase_siemens():
    return changed(ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])


@case("not-magnitude", "4 magnitude, 1 real")
def real_philips():
    return changed(2, ImageType=["ORIGINAL", "PRIMARY", "R_FFE", "R", "FFE"])


@case("not-magnitude", "5 imaginary")
def imaginary_enhanced():
    file = enhanced(phantom())
    for group in file.PerFrameFunctionalGroupsSequence:
        group.MRImageFrameTypeSequence[0].ComplexImageComponent = "IMAGINARY"
    return [file]


@case("not-magnitude", "5 phase")
def phase_ge():
    images = changed(Manufacturer="GE MEDICAL SYSTEMS")
    for image in images:
        image.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 1)
    return images


@case("mosaic", "Siemens mosaic .* dcm2niix")
def siemens_mosaic():
    return changed(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])[:1]


def map_case(name, match, **values):
    """Register a series of a computed map."""

    def make():
        return changed(**values)

    make.__name__ = f"map_{name}"
    case("derived-map", match)(make)


for _name, _words in {
    "adc": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"],
    "fa": ["DERIVED", "PRIMARY", "DIFFUSION", "FA", "ND", "NORM"],
    "t2": ["DERIVED", "PRIMARY", "M", "ND", "T2 MAP"],
    "t2_star": ["DERIVED", "PRIMARY", "T2_STAR_MAP"],
    "cbf": ["DERIVED", "PRIMARY", "ASL", "RELCBF"],
    "projection": ["DERIVED", "SECONDARY", "PROJECTION IMAGE", "IVI"],
    "mip": ["DERIVED", "PRIMARY", "M", "ND", "MIP"],
    "subtraction": ["DERIVED", "PRIMARY", "M", "ND", "SUB"],
    "modulus": ["DERIVED", "SECONDARY", "MODULUS SUBTRACT"],
    "philips": ["ORIGINAL", "PRIMARY", "ADC", "UNSPECIFIED"],
}.items():
    map_case(_name, "5 of 5 images are maps .*Image Type has .*derived_maps", ImageType=_words)

for _name in ("Z-score FLAIR", "t1 minus SUBTRACTION", "ep2d_diff_ADC", "rCBV corrected"):
    map_case(
        f"described_{_name}",
        "Series Description has",
        SeriesDescription=_name,
        ImageType=["DERIVED", "SECONDARY"],
    )
map_case("technique", "Technique is MAX_IP", VolumeBasedCalculationTechnique="MAX_IP")


@case("derived-map", "Derivation Code Sequence has 113062")
def coded_subtraction():
    return changed(DerivationCodeSequence=[coded("113062", "Pixel by pixel subtraction")])


@case("derived-map", "1 of 5 images")
def a_map_among_images():
    return changed(3, ImageType=["DERIVED", "PRIMARY", "ADC"])


@case("derived-map", "5 of 5 images")
def enhanced_map():
    file = enhanced(phantom())
    for group in file.PerFrameFunctionalGroupsSequence:
        group.MRImageFrameTypeSequence[0].FrameType = ["DERIVED", "PRIMARY", "M", "T1_MAP"]
    return [file]


@case("compressed", "MPEG2 Main Profile / Main Level cannot be decoded")
def film():
    images = changed()
    for image in images:
        image.file_meta.TransferSyntaxUID = MPEG2MPML
        image["PixelData"].VR, image.PixelData = "OB", b"\xfe\xff\x00\xe0\0\0\0\0"
        image["PixelData"].is_undefined_length = True
    return images


@case("lossy-compressed")
def lossy_by_header():
    return changed(LossyImageCompression="01")


@case("lossy-compressed")
def lossy_by_syntax():
    images = changed()
    for image in images:
        image.file_meta.TransferSyntaxUID = JPEGLSNearLossless
        image["PixelData"].VR, image.PixelData = "OB", b"\xfe\xff\x00\xe0\0\0\0\0"
        image["PixelData"].is_undefined_length = True
    return images


@case("unsupported-pixels", "pixels of 12 bits in 24")
def odd_bits():
    return changed(BitsAllocated=24)


@case("invalid-rescale")
def no_slope():
    return changed(RescaleSlope=0, RescaleIntercept=0)


@case("too-large", "5 images of 60000 x 60000 pixels are too large: .* GB is free")
def more_pixels_than_memory():
    images = changed(Rows=60000, Columns=60000)
    for image in images:  # a compressed stream tells nothing of the size that it unpacks to
        image.file_meta.TransferSyntaxUID = RLELossless
        image["PixelData"].VR, image.PixelData = "OB", b"\xfe\xff\x00\xe0\0\0\0\0"
        image["PixelData"].is_undefined_length = True
    return images


@case("truncated-pixels", "image 3 of 5 along the stack")
def cut_short():
    images = classic(phantom())
    images[2].PixelData = images[2].PixelData[:40]
    return images


@case("truncated-pixels")
def no_pixels():
    return changed(4, PixelData=None)


@case("incomplete-multi-frame", "has 5 frames and functional groups .5200,9230. for 4")
def frames_without_place():
    file = enhanced(phantom())
    del file.PerFrameFunctionalGroupsSequence[2]
    return [file]


@case("incomplete-multi-frame")
def classic_of_many_frames():
    return changed(NumberOfFrames=2)


@case("several-patients", "2 values of PatientID")
def two_patients():
    images = changed()
    for image in images[:2]:
        image.PatientID = "ANOTHER-ID"
    return images


@case("several-patients", "2 values of PatientName")
def two_names():
    return changed(0, PatientName="OTHER^Person")


@case("several-studies", "2 studies")
def two_studies():
    return changed(0, StudyInstanceUID="1.2.3.99")


@case("missing-attribute", "SOPInstanceUID is missing or unreadable in 1 of 5")
def no_instance_uid():
    images = changed()
    images[0].file_meta.MediaStorageSOPInstanceUID = images[0].SOPInstanceUID
    images[0].SOPInstanceUID = ""
    return images


@case("missing-attribute", "StudyInstanceUID is missing")
def no_study():
    return changed(StudyInstanceUID="")


@case("colour", "None samples")
def several_numbers_of_samples():
    return changed(SamplesPerPixel=[1, 1])


@case("unsupported-pixels", "pixels of None bits")
def several_numbers_of_bits():
    return changed(BitsStored=[12, 12])


@case("colour", "levels .unknown, 1 samples")
def no_name_of_a_colour():
    return changed(PhotometricInterpretation="PLANTEDNAME")


@case("lossy-compressed")
def lossy_among_several_values():
    return changed(LossyImageCompression=["01", "00"])


@case("not-mr", "the series is unreadable, not MR")
def no_code_of_a_modality():
    return changed(Modality="PLANTED NAME")
