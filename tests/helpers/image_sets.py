"""OME-TIFF sets of several files, written as microscopes do."""

import uuid

import tifffile

OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def save_set(folder, array, parts, *, header="each"):
    """Write an array (T, C, H, W) as an OME-TIFF set; ``parts`` are file names with the indices of their planes."""
    folder.mkdir(exist_ok=True)
    marks = {name: uuid.uuid5(uuid.NAMESPACE_URL, name).urn for name in parts}
    where = {index: (name, page) for name, part in parts.items() for page, index in enumerate(part)}
    inside = "".join(
        f'<Channel ID="Channel:0:{c}" Name="{name}"/>' for c, name in enumerate(["DAPI", "GFP"][: array.shape[1]])
    )
    for (t, c), (name, page) in where.items():
        inside += f'<TiffData FirstT="{t}" FirstC="{c}" IFD="{page}" PlaneCount="1">'
        inside += f'<UUID FileName="{name}">{marks[name]}</UUID></TiffData>'
    inside += "".join(f'<Plane TheT="{t}" TheC="{c}" TheZ="0" DeltaT="{10 * t}"/>' for t, c in where)
    sizes = dict(zip(("SizeT", "SizeC", "SizeY", "SizeX"), array.shape, strict=True))
    told = " ".join(f'{key}="{value}"' for key, value in sizes.items())
    pixels = (
        f'<Image ID="Image:0" Name="cell"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeZ="1" {told} '
        f'PhysicalSizeX="0.1" PhysicalSizeY="0.2">{inside}</Pixels></Image>'
    )
    if header == "companion":
        (folder / "set.companion.ome").write_text(f'<OME xmlns="{OME}" UUID="urn:uuid:0">{pixels}</OME>')
    for number, (name, part) in enumerate(parts.items()):
        beside = "set.companion.ome" if header == "companion" else next(iter(parts))
        only = f'<BinaryOnly MetadataFile="{beside}" UUID="urn:uuid:0"/>'
        held = pixels if header == "each" or (header == "first" and number == 0) else only
        xml = f'<OME xmlns="{OME}" UUID="{marks[name]}">{held}</OME>'
        with tifffile.TiffWriter(folder / name) as tif:
            for page, index in enumerate(part):
                description = xml.encode() if page == 0 else None
                tif.write(array[index], metadata=None, description=description, photometric="minisblack")
