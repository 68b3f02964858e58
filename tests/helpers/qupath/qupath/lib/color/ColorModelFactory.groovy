package qupath.lib.color

import java.awt.color.ColorSpace
import java.awt.image.BandedSampleModel
import java.awt.image.ColorModel
import java.awt.image.ComponentColorModel
import java.awt.image.DataBuffer
import java.awt.image.Raster
import java.awt.image.WritableRaster

import qupath.lib.images.servers.ImageChannel
import qupath.lib.images.servers.PixelType

class ColorModelFactory {
    static ColorModel createColorModel(PixelType type, List<ImageChannel> channels) {
        return new Banded(type == PixelType.FLOAT32 ? DataBuffer.TYPE_FLOAT : DataBuffer.TYPE_USHORT, channels.size())
    }
}

class Banded extends ComponentColorModel {
    private int type, bands

    Banded(int type, int bands) {
        super(ColorSpace.getInstance(ColorSpace.CS_GRAY), false, false, OPAQUE, type)
        this.type = type
        this.bands = bands
    }

    @Override
    WritableRaster createCompatibleWritableRaster(int width, int height) {
        return Raster.createWritableRaster(new BandedSampleModel(type, width, height, bands), null)
    }

    @Override
    boolean isCompatibleRaster(Raster raster) {
        return raster.getTransferType() == type
    }
}
